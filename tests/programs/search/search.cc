// search: loads an index whose header promises more than is there; nobody catches the exception.
#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace search {

class IndexCorrupt : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class Segment {
public:
    explicit Segment(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}

    __attribute__((always_inline)) inline std::uint8_t term(std::size_t at) const {
        if (at >= bytes_.size()) {
            throw IndexCorrupt("segment 7: term " + std::to_string(at) + " of " + std::to_string(bytes_.size()));
        }
        return bytes_[at];
    }

private:
    std::vector<std::uint8_t> bytes_;
};

class Index {
public:
    __attribute__((noinline)) unsigned load(const Segment &segment, std::size_t terms) {
        unsigned sum = 0;
        for (std::size_t at = 0; at < terms; at++) {
            sum += segment.term(at);
        }
        loaded_ += sum;
        return sum;
    }

private:
    unsigned loaded_ = 0;
};

template <typename Source>
__attribute__((noinline)) unsigned open_index(const Source &source, std::size_t terms) {
    Index index;
    unsigned sum = index.load(Segment(source), terms);
    std::cout << "search: loaded " << sum << std::endl;
    return sum;
}

}  // namespace search

int main() {
    std::cout << "search: opening segment 7" << std::endl;
    return search::open_index(std::vector<std::uint8_t>{1, 2, 3}, 9) == 0;
}
