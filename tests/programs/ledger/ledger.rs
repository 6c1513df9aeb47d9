//! ledger: posts an entry to an account that was closed; built with `panic = "abort"`.

struct Entry {
    account: usize,
    cents: i64,
}

struct Ledger {
    balances: Vec<i64>,
}

impl Ledger {
    #[inline(always)]
    fn balance_mut(&mut self, account: usize) -> &mut i64 {
        let open = self.balances.len();
        match self.balances.get_mut(account) {
            Some(balance) => balance,
            None => panic!("account {account} is closed, only {open} are open"),
        }
    }

    #[inline(never)]
    fn post(&mut self, entry: &Entry) -> i64 {
        let balance = self.balance_mut(entry.account);
        *balance += entry.cents;
        *balance
    }
}

#[inline(never)]
fn close_of_day(ledger: &mut Ledger, entries: &[Entry]) -> i64 {
    let mut sum = 0;
    for entry in entries {
        sum += ledger.post(entry);
    }
    println!("ledger: {sum}");
    sum
}

fn main() {
    println!("ledger: posting");
    let mut ledger = Ledger { balances: vec![100, 250] };
    let entries = [Entry { account: 1, cents: -30 }, Entry { account: 4, cents: 75 }];
    std::process::exit(i32::from(close_of_day(&mut ledger, &entries) == 0));
}
