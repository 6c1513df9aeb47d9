// Dies of what nobody catches.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

struct CardDeclined : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Shape {
    Shape() { draw_later(); }
    virtual void draw() = 0;
    void draw_later() { draw(); }
};

struct Circle : Shape {
    void draw() override {}
};

__attribute__((noinline)) void charge(int card) {
    throw CardDeclined("card " + std::to_string(card) + " was declined by the bank");
}

struct Refused : std::exception {
    const char *what() const noexcept override { return "computed when asked"; }
};

struct Code {
    int number;
};

__attribute__((noinline)) void throw_number() { throw 42; }

__attribute__((noinline)) void open_configuration() {
    throw std::runtime_error("no configuration");
}

__attribute__((noinline)) void refuse() { throw Refused(); }
__attribute__((noinline)) void throw_code() { throw Code{7}; }
__attribute__((noinline)) void throw_text() { throw "a plain text"; }
__attribute__((noinline)) void throw_string() { throw std::string("a text of some length, on the heap"); }
__attribute__((noinline)) void throw_negative() { throw -7L; }

__attribute__((noinline)) void open_file() {
    throw std::system_error(2, std::generic_category(), "orders.db");
}

/* What is thrown may not leave it. */
__attribute__((noinline)) void promise() noexcept { open_configuration(); }

/* Hands on what another thread threw. */
__attribute__((noinline)) void join() {
    std::exception_ptr failure;
    std::thread worker([&] {
        try {
            open_configuration();
        } catch (...) {
            failure = std::current_exception();
        }
    });
    worker.join();
    std::rethrow_exception(failure);
}

__attribute__((noinline)) void work_alone() {
    std::thread worker(open_configuration);
    worker.join();
}

__attribute__((noinline)) int third(const std::vector<int> &numbers) { return numbers[2]; }

__attribute__((noinline)) void give_up() {
    try {
        throw std::runtime_error("handled long ago");
    } catch (const std::exception &error) {
        std::puts(error.what());
    }
    std::terminate();
}

int main(int, char **arguments) {
    std::string what = arguments[1];
    if (what == "derived") charge(7);
    if (what == "number") throw_number();
    if (what == "plain") open_configuration();
    if (what == "refused") refuse();
    if (what == "code") throw_code();
    if (what == "text") throw_text();
    if (what == "string") throw_string();
    if (what == "negative") throw_negative();
    if (what == "system") open_file();
    if (what == "noexcept") promise();
    if (what == "handed-on") join();
    if (what == "thread") work_alone();
    if (what == "container") return third({});
    if (what == "terminate") give_up();
    if (what == "library") return what.at(99);
    if (what == "pure") Circle circle;
}
