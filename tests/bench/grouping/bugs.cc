// Fifteen bugs in C++, each reached by three ways: bugs BUG WAY.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

static volatile long zero;
static void *volatile nothing;
static void *volatile nowhere = reinterpret_cast<void *>(0x5a5a5a5a5a5aL);
static volatile long sink;

namespace shop {

struct Item {
    std::string name;
    long price;
    long quantity;
};

struct Cart {
    std::vector<Item> items;
    long total(long n) const { return static_cast<const Item *>(nothing)->price + n; }
    void add(const Item &item) { items.push_back(item); }
};

struct Shape {
    Shape() { describe(); }
    virtual ~Shape() = default;
    virtual long area() const = 0;
    __attribute__((noinline)) void describe() const { sink = area(); }
};

struct Square : Shape {
    long area() const override { return 4; }
};

template <typename Key, typename Value>
struct Cache {
    std::map<Key, Value> entries;
    Value *slot = static_cast<Value *>(nowhere);
    Value find(const Key &key) { return entries.empty() ? *slot : entries.at(key); }
};

class OutOfStock : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The bugs.

int cart_total(long n) {
    Cart cart;
    return static_cast<int>(cart.total(n));
}

int cart_item(long n) {
    Cart cart;
    cart.add({"tea", n, 1});
    return static_cast<int>(cart.items.at(static_cast<size_t>(n) + 9).price);
}

int reserve(long n) {
    if (n >= zero)
        throw OutOfStock("item " + std::to_string(n) + " is out of stock");
    return 0;
}

int parse_price(long n) { return std::stoi("free" + std::to_string(n)); }

int make_shape(long n) {
    Square square;
    return static_cast<int>(square.area() + n);
}

int sort_items(long n) {
    std::vector<Item> items(20);
    const Item *best = static_cast<const Item *>(nothing);
    std::sort(items.begin(), items.end(), [&](const Item &a, const Item &b) {
        return a.price + n < b.price + best->price;
    });
    return static_cast<int>(items.size());
}

int count_items(long n) {
    std::vector<Item> items(20);
    const long *limit = static_cast<const long *>(nowhere);
    return static_cast<int>(std::count_if(items.begin(), items.end(), [&](const Item &item) {
        return item.quantity + n > *limit;
    }));
}

int find_member(long n) {
    Cache<long, long> cache;
    return static_cast<int>(cache.find(n));
}

int find_name(long n) {
    Cache<std::string, Item> cache;
    return static_cast<int>(cache.find(std::to_string(n)).price);
}

int assign_name(long n) {
    Item *item = static_cast<Item *>(nowhere);
    item->name.assign(static_cast<size_t>(n) + 40, 'x');
    return 0;
}

int run_callback(long n) {
    std::function<int(long)> callback;
    return callback(n);
}

int delete_twice(long n) {
    auto *item = new Item{"a name that does not fit into the string itself", n, 1};
    std::unique_ptr<Item> first(item);
    std::unique_ptr<Item> second(static_cast<Item *>(static_cast<void *>(item)));
    return static_cast<int>(first->price);
}

int read_setting(long n) {
    std::variant<long, std::string> setting = n;
    return static_cast<int>(std::get<std::string>(setting).size());
}

int count_in_thread(long n) {
    std::thread worker([n] {
        long *counter = static_cast<long *>(nothing);
        *counter += n;
    });
    worker.join();
    return 0;
}

struct Visitor {
    const Item *current = static_cast<const Item *>(nothing);
    long operator()(long n) const { return current->quantity * n; }
};

int visit_all(long n) {
    Visitor visitor;
    long sum = 0;
    for (long at = 0; at < n + 3; at++)
        sum += visitor(at);
    return static_cast<int>(sum);
}

} // namespace shop

// The ways to them.

using Bug = int(long);

template <Bug work>
struct Ways {
    static int direct(long n) {
        int result = work(n + 1);
        return result ^ 3;
    }
    static int step(long n) {
        int result = work(n + 5);
        return result | 1;
    }
    static int deeper(long n) {
        int result = step(n * 3);
        return result + 2;
    }
    static int wrapped(long n) {
        std::function<int(long)> again = [](long m) { return work(m) + 1; };
        return again(n) + 4;
    }
};

#define WAYS(name) {Ways<shop::name>::direct, Ways<shop::name>::deeper, Ways<shop::name>::wrapped}

static Bug *const ways[][3] = {
    WAYS(cart_total),   WAYS(cart_item),   WAYS(reserve),      WAYS(parse_price),
    WAYS(make_shape),   WAYS(sort_items),  WAYS(count_items),  WAYS(find_member),
    WAYS(find_name),    WAYS(assign_name), WAYS(run_callback), WAYS(delete_twice),
    WAYS(read_setting), WAYS(count_in_thread), WAYS(visit_all),
};

class Server {
public:
    virtual ~Server() = default;
    virtual int serve(Bug *work, long n) { return work(n) + 1; }
};

class Batch : public Server {
public:
    int serve(Bug *work, long n) override { return work(n + 2) + 2; }
};

int main(int argc, char **argv) {
    size_t which = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 0;
    size_t way = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
    if (which >= sizeof ways / sizeof *ways || way > 2)
        return 2;
    std::unique_ptr<Server> server(way == 1 ? new Batch : new Server);
    std::printf("nothing happened: %d\n", server->serve(ways[which][way], static_cast<long>(way)));
    return 3;
}
