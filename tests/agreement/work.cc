// Threads in C++'s own kinds of waiting, then a crash in a comparator that std::sort called.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <algorithm>
#include <unistd.h>

namespace shop {

std::atomic<int> ready{0};

[[gnu::noinline]] void rest() {
    ready++;
    for (;;)
        pause();
}

struct Order {
    std::string customer;
    std::unique_ptr<int> total;
};

class Shipping {
public:
    virtual ~Shipping() = default;
    virtual int cost(const Order &order) const = 0;
};

class Express : public Shipping {
public:
    int cost(const Order &order) const override {
        rest();
        return *order.total;
    }
};

template <typename Policy>
[[gnu::noinline]] int price(const Policy &policy, const Order &order) {
    return policy.cost(order) + 1;
}

namespace {

struct Counter {
    int operator()(int value) const {
        rest();
        return value;
    }
};

[[gnu::noinline]] int counted(const std::function<int(int)> &count) {
    return count(3) + 1;
}

[[gnu::noinline]] void validate(const Order &order) {
    if (order.customer.empty())
        throw std::invalid_argument("no customer");
}

[[gnu::noinline]] void careful(const Order &order) {
    try {
        validate(order);
    } catch (const std::invalid_argument &) {
        rest();
    }
}

struct Guard {
    ~Guard() { rest(); }
};

[[gnu::noinline]] void guarded() {
    Guard guard;
    validate({"", nullptr});
}

} // namespace

std::mutex lock;
std::condition_variable never;

void wait_for_work() {
    std::unique_lock<std::mutex> held(lock);
    ready++;
    never.wait(held, [] { return false; });
}

[[gnu::noinline]] void sort_orders(std::vector<Order> &orders) {
    std::sort(orders.begin(), orders.end(), [](const Order &left, const Order &right) {
        return *left.total < *right.total;
    });
}

} // namespace shop

int main() {
    using namespace shop;
    std::vector<std::thread> threads;
    threads.emplace_back(wait_for_work);
    threads.emplace_back([] { price(Express(), {"a", std::make_unique<int>(1)}); });
    threads.emplace_back([] { counted(Counter()); });
    threads.emplace_back([] { careful({"", nullptr}); });
    threads.emplace_back([] {
        try {
            guarded();
        } catch (...) {
        }
    });
    threads.emplace_back([] {
        ready++;
        std::this_thread::sleep_for(std::chrono::hours(1));
    });
    threads.emplace_back([] {
        std::map<int, std::string> names{{1, "one"}, {2, "two"}};
        std::for_each(names.begin(), names.end(), [](const auto &entry) {
            if (entry.first == 2)
                rest();
        });
    });
    std::promise<int> promise;
    auto future = promise.get_future();
    threads.emplace_back([&future] {
        ready++;
        future.get();
    });
    while (ready < static_cast<int>(threads.size()))
        usleep(1000);
    usleep(50000);
    std::vector<Order> orders(20);
    orders[3].total = std::make_unique<int>(4);
    sort_orders(orders);
    return 0;
}
