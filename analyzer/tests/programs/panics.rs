//! Panics as its argument says.

#[inline(never)]
fn pick(items: &[u32], at: usize) -> u32 {
    items[at]
}

#[inline(never)]
fn first_of_none(none: Option<u32>) -> u32 {
    none.unwrap()
}

#[inline(never)]
fn configure() -> Vec<u8> {
    std::fs::read("/no/such/file").expect("the configuration must exist")
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("index") => println!("{}", pick(&[1, 2, 3], 7)),
        Some("unwrap") => println!("{}", first_of_none(None)),
        _ => println!("{}", configure().len()),
    }
}
