// Dies of what nobody catches.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

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

__attribute__((noinline)) void throw_number() { throw 42; }

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
    if (what == "terminate") give_up();
    if (what == "library") return what.at(99);
    if (what == "pure") Circle circle;
}
