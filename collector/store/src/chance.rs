//! How unlikely a share is by chance: Fisher's exact test of a table of two by two, and the tail
//! of a binomial distribution.

/// The natural logarithm of the gamma function (Lanczos, g = 7; relative error below 1e-13).
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let [first, rest @ ..] = COEFFICIENTS;
    let sum = (1_u8..).zip(rest).fold(first, |sum, (index, coefficient)| {
        sum + coefficient / (x + f64::from(index))
    });
    let t = x + G + 0.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

// Counts of crashes are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn real(number: u64) -> f64 {
    number as f64
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_gamma(real(n) + 1.0) - ln_gamma(real(k) + 1.0) - ln_gamma(real(n - k) + 1.0)
}

/// The probability of a table at least as unlikely as this one, both ways, if the value had
/// nothing to do with the group: `here` of `of_here` crashes of the group have it, and
/// `elsewhere` of `of_elsewhere` others.
pub(crate) fn fisher(here: u64, of_here: u64, elsewhere: u64, of_elsewhere: u64) -> f64 {
    let (here, elsewhere) = (here.min(of_here), elsewhere.min(of_elsewhere));
    let all = of_here + of_elsewhere;
    let with = here + elsewhere;
    let least = with.saturating_sub(of_elsewhere);
    let most = with.min(of_here);
    let total = ln_choose(all, with);
    let ln_p = |k: u64| ln_choose(of_here, k) + ln_choose(of_elsewhere, with - k) - total;
    // A table exactly as likely must count although its logarithm is rounded.
    let bound = ln_p(here) + 1e-7;
    let mode =
        u64::try_from((u128::from(of_here) + 1) * (u128::from(with) + 1) / (u128::from(all) + 2))
            .unwrap_or(most)
            .clamp(least, most);
    let mut sum = 0.0;
    // Below the mode probabilities grow, above they fall: the first k that counts is found by
    // halving, and further ones are added until they no longer matter.
    if ln_p(least) <= bound {
        let top = last_where(least, mode, |k| ln_p(k) <= bound);
        sum += tail((least..=top).rev().map(&ln_p));
    }
    if ln_p(most) <= bound && mode < most {
        let bottom = most - (last_where(0, most - mode - 1, |k| ln_p(most - k) <= bound));
        sum += tail((bottom..=most).map(&ln_p));
    }
    sum.min(1.0)
}

/// The last number from `from` to `to` for which it holds; it holds for `from`, and from some
/// number on no longer.
fn last_where(mut from: u64, mut to: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while from < to {
        let middle = from + (to - from).div_ceil(2);
        if holds(middle) {
            from = middle;
        } else {
            to = middle - 1;
        }
    }
    from
}

/// The sum of falling probabilities given by their logarithms.
fn tail(ln_ps: impl Iterator<Item = f64>) -> f64 {
    let mut sum = 0.0;
    for ln_p in ln_ps {
        let p = ln_p.exp();
        sum += p;
        if p < sum * 1e-12 || ln_p < -745.0 {
            break;
        }
    }
    sum
}

/// The probability of at least `hits` of `tries`, each with probability `p`.
pub(crate) fn at_least(hits: u64, tries: u64, p: f64) -> f64 {
    if hits == 0 || p >= 1.0 {
        return 1.0;
    }
    if hits > tries || p <= 0.0 {
        return 0.0;
    }
    let ln_p = |k: u64| ln_choose(tries, k) + real(k) * p.ln() + real(tries - k) * (1.0 - p).ln();
    if real(hits) > real(tries) * p {
        return tail((hits..=tries).map(ln_p)).min(1.0);
    }
    (1.0 - tail((0..hits).rev().map(ln_p))).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(got: f64, expected: f64) {
        let error = (got - expected).abs() / expected.max(1e-300);
        assert!(error < 1e-6, "{got} is not {expected}");
    }

    /// By the definition: every table's probability as a product of exact fractions.
    fn by_definition(here: u64, m: u64, elsewhere: u64, n: u64) -> f64 {
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |x, i| x * real(n - i) / real(i + 1));
        let with = here + elsewhere;
        let p = |k: u64| choose(m, k) * choose(n, with - k) / choose(m + n, with);
        let tables = with.saturating_sub(n)..=with.min(m);
        tables.map(p).filter(|q| *q <= p(here) * (1.0 + 1e-9)).sum()
    }

    #[test]
    fn fishers_test_is_its_definition() {
        for m in 0..9 {
            for n in 0..9 {
                for a in 0..=m {
                    for c in 0..=n {
                        let expected = by_definition(a, m, c, n);
                        let got = fisher(a, m, c, n);
                        assert!(
                            (got - expected).abs() < 1e-8,
                            "{a}/{m} {c}/{n}: {got} {expected}"
                        );
                    }
                }
            }
        }
        // The lady tasting tea, and a table worked out in exact fractions.
        close(fisher(3, 4, 1, 4), 0.485_714_285_7);
        close(fisher(8, 10, 1, 15), 0.000_335_295_341);
    }

    #[test]
    fn large_tables_end_and_stay_probabilities() {
        let p = fisher(900, 1000, 20_000, 1_000_000);
        assert!((0.0..1e-300).contains(&p), "{p}");
        let p = fisher(20_000, 1_000_000, 20_100, 1_000_000);
        assert!((0.5..0.7).contains(&p), "{p}");
        close(fisher(0, 0, 5, 10), 1.0);
        close(fisher(10, 10, 990, 990), 1.0);
        close(fisher(0, 1_000_000, 0, 1_000_000), 1.0);
    }

    #[test]
    fn binomial_tails() {
        close(at_least(5, 10, 0.5), 0.623_046_875);
        close(at_least(10, 10, 0.5), 0.000_976_562_5);
        close(at_least(1, 10, 0.5), 0.999_023_437_5);
        close(at_least(0, 10, 0.5), 1.0);
        close(at_least(11, 10, 1.0), 1.0);
        assert!(at_least(500, 20_000, 1.0 / 60.0) < 1e-10);
    }
}
