/* payments: books a refund that is larger than what was paid; an assert ends it. */
#include <assert.h>
#include <stdio.h>

struct payment {
    const char *order;
    long cents_paid;
    long cents_refunded;
};

static inline __attribute__((always_inline)) long balance(const struct payment *payment) {
    assert(payment->cents_refunded <= payment->cents_paid);
    return payment->cents_paid - payment->cents_refunded;
}

static __attribute__((noinline)) long apply_refund(struct payment *payment, long cents) {
    payment->cents_refunded += cents;
    long left = balance(payment);
    printf("payments: %s has %ld cents left\n", payment->order, left);
    return left;
}

static __attribute__((noinline)) long settle_order(struct payment *payment) {
    long left = apply_refund(payment, 500);
    left += apply_refund(payment, 900);
    return left;
}

int main(void) {
    struct payment payment = {"order 1042", 1200, 0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    return settle_order(&payment) == 0;
}
