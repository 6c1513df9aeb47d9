// Two locks of the standard library, taken by two threads in two orders; another process ends it.
#include <csignal>
#include <mutex>
#include <thread>
#include <unistd.h>

static std::mutex cart, price;

void add_item() {
    std::lock_guard<std::mutex> first(cart);
    usleep(200000);
    std::lock_guard<std::mutex> second(price);
}

void change_price() {
    std::lock_guard<std::mutex> first(price);
    usleep(200000);
    std::unique_lock<std::mutex> second(cart);
}

int main() {
    std::thread one(add_item), other(change_price);
    if (fork() == 0) {
        usleep(500000);
        kill(getppid(), SIGABRT);
        _exit(0);
    }
    one.join();
    other.join();
}
