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

/// C's frames cannot be unwound through.
extern "C" fn called_by_c(at: usize) -> u32 {
    pick(&[1, 2, 3], at)
}

struct Guard(u32);

impl Drop for Guard {
    fn drop(&mut self) {
        panic!("order {} is still locked", self.0);
    }
}

#[inline(never)]
fn drop_while_panicking(at: usize) -> u32 {
    let _guard = Guard(7);
    pick(&[1, 2, 3], at)
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 100]);
    descend(depth + 1) + frame[7]
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("index") => println!("{}", pick(&[1, 2, 3], 7)),
        Some("unwrap") => println!("{}", first_of_none(None)),
        Some("foreign") => println!("{}", called_by_c(7)),
        Some("twice") => println!("{}", drop_while_panicking(7)),
        Some("abort") => std::process::abort(),
        Some("handled-overflow") => println!("{}", descend(0)),
        Some("handled-overflow-thread") => {
            let worker = std::thread::spawn(|| descend(0));
            println!("{:?}", worker.join().is_ok());
        }
        Some("thread") => {
            let worker = std::thread::spawn(|| pick(&[1, 2, 3], 7));
            println!("{:?}", worker.join().is_ok());
        }
        _ => println!("{}", configure().len()),
    }
}
