//! Fifteen bugs in Rust, each reached by three ways: `bugs BUG WAY`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::hint::black_box;

type Bug = fn(usize) -> usize;

unsafe extern "C" {
    // Declared as if nothing could go wrong.
    safe fn strlen(text: usize) -> usize;
    safe fn memset(block: usize, byte: i32, size: usize) -> usize;
}

#[derive(Debug, Default)]
struct Item {
    price: usize,
    name: String,
}

struct Cart<T> {
    items: Vec<T>,
}

impl<T: Clone> Cart<T> {
    fn item(&self, at: usize) -> T {
        self.items[at].clone()
    }

    fn cheapest(&self, price: impl Fn(&T) -> usize) -> &T {
        self.items.iter().min_by_key(|item| price(item)).unwrap()
    }
}

trait Store {
    fn load(&self, key: usize) -> Result<Item, String>;
}

struct Disk;

impl Store for Disk {
    fn load(&self, key: usize) -> Result<Item, String> {
        Err(format!("no item {key}"))
    }
}

struct Counter<'c>(&'c RefCell<usize>);

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        *self.0.borrow_mut() += 1;
    }
}

fn cart_item(n: usize) -> usize {
    let cart = Cart { items: vec![1_usize, 2, 3] };
    cart.item(black_box(n) + 7)
}

fn cart_name(n: usize) -> usize {
    let cart = Cart { items: vec![String::from("tea")] };
    cart.item(black_box(n) + 4).len()
}

fn cheapest_item(n: usize) -> usize {
    let cart = Cart::<Item2> { items: Vec::with_capacity(n) };
    cart.cheapest(|item| item.0).0
}

#[derive(Clone)]
struct Item2(usize);

fn load_item(n: usize) -> usize {
    let store: Box<dyn Store> = Box::new(Disk);
    store.load(black_box(n)).unwrap().price
}

fn load_name(n: usize) -> usize {
    let names: HashMap<usize, String> = HashMap::new();
    names.get(&n).expect("every item has a name").len()
}

fn divide_price(n: usize) -> usize {
    100 / black_box(n.wrapping_sub(n))
}

fn slice_name(n: usize) -> usize {
    let name = format!("äöü{n}");
    name[..black_box(1)].len()
}

fn count_twice(n: usize) -> usize {
    let count = RefCell::new(n);
    let _counting = count.borrow();
    drop(Counter(&count));
    n
}

fn read_raw(n: usize) -> usize {
    strlen(black_box(0x5a5a_5a5a_5a50_usize + n * 8)) + n
}

fn write_raw(n: usize) -> usize {
    memset(black_box(0), 1, 8 + n) + n
}

fn give_up(n: usize) -> usize {
    if black_box(n) < 1 << 40 {
        std::process::abort();
    }
    n
}

fn check_sum(n: usize) -> usize {
    assert_eq!(black_box(n) + 1, n, "the sum of order {n} is wrong");
    n
}

fn describe<T: Display>(item: T) -> usize {
    let text = item.to_string();
    let none: Option<usize> = black_box(text.find('%'));
    none.unwrap()
}

fn describe_number(n: usize) -> usize {
    describe(n)
}

fn depth_of(n: usize) -> usize {
    let here = black_box([n; 64]);
    depth_of(here[n % 64] + 1) + here[0]
}

fn sort_by_rate(n: usize) -> usize {
    let mut items = vec![3_usize, 1, 2, n];
    let rates: Vec<usize> = Vec::new();
    items.sort_by_key(|&item| rates[item]);
    items[0]
}

fn retry(work: Bug, n: usize) -> usize {
    (0..3).map(|attempt| work(n + attempt)).sum()
}

macro_rules! ways {
    ($($bug:ident $direct:ident $deeper:ident $again:ident,)*) => {
        $(
            fn $direct(n: usize) -> usize {
                $bug(n + 1) ^ 3
            }
            fn $deeper(n: usize) -> usize {
                fn step(n: usize) -> usize {
                    $bug(n + 5) | 1
                }
                step(n * 3) + 2
            }
            fn $again(n: usize) -> usize {
                retry($bug, n) + 1
            }
        )*
        const WAYS: &[[Bug; 3]] = &[$([$direct, $deeper, $again],)*];
    };
}

ways! {
    cart_item show_item show_page show_all,
    cart_name show_name list_names export_names,
    cheapest_item best_offer rank_offers print_offers,
    load_item get_item get_related prefetch,
    load_name name_item label_parcel print_labels,
    divide_price split_bill split_order split_all,
    slice_name shorten clip_title clip_all,
    count_twice count_visit count_sale count_all,
    read_raw map_file map_index map_all,
    write_raw save_item save_index flush,
    give_up stop_worker stop_server stop_all,
    check_sum book_order book_refund audit,
    describe_number print_item print_order print_report,
    depth_of walk_tree walk_forest index_tree,
    sort_by_rate rank_items rank_pages rank_all,
}

fn serve_request(work: Bug, n: usize) -> usize {
    work(n) + 1
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let (which, way) = (numbers.next().unwrap(), numbers.next().unwrap());
    let Some(work) = WAYS.get(which).and_then(|ways| ways.get(way)).copied() else {
        std::process::exit(2);
    };
    let result = match way {
        0 => serve_request(work, way),
        1 => std::thread::spawn(move || serve_request(work, way)).join().unwrap(),
        _ => work(way),
    };
    println!("nothing happened: {result}");
    std::process::exit(3);
}
