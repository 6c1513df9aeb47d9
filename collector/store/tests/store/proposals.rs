//! Groups that may be one bug: proposed once, until somebody decides.

use crate::given::{Given, record, report};
use aground_analyzer::group::{LIKE, SAME};
use aground_store::lifecycle::{Actor, Change};

/// Two groups that are alike, and one that is like none of them.
fn given() -> (Given, [String; 3]) {
    let given = Given::new();
    let stacks: [&[&str]; 3] = [
        &["parse", "get", "serve", "main"],
        &["render", "parse", "get", "serve", "main"],
        &["sort", "rank"],
    ];
    let mut number = 0;
    let groups = stacks.map(|stack| {
        number += 1;
        let id = given.admitted(&record(number));
        given.store.save_report(&id, &report(stack)).unwrap();
        given.summary(&id).group.unwrap()
    });
    (given, groups)
}

fn compared(given: &Given) -> u64 {
    given.store.compare_signatures(100).unwrap()
}

/// The pairs that are proposed.
fn pairs(given: &Given) -> Vec<[String; 2]> {
    let proposals = given.store.proposals(10).unwrap();
    let pair = |proposal: &aground_store::proposals::Proposal| {
        let mut pair = [proposal.one.group.clone(), proposal.other.group.clone()];
        pair.sort();
        pair
    };
    proposals.iter().map(pair).collect()
}

#[test]
fn groups_that_are_much_alike_are_proposed_until_somebody_decides() {
    let (given, [one, other, third]) = given();
    assert!(pairs(&given).is_empty());
    assert_eq!((compared(&given), compared(&given)), (3, 0));
    let mut pair = [one.clone(), other.clone()];
    pair.sort();
    assert_eq!(pairs(&given), [pair.clone()]);
    let proposal = given.store.proposals(10).unwrap().remove(0);
    assert!((LIKE..SAME).contains(&proposal.likeness), "{proposal:?}");
    assert_eq!(proposal.shared, "parse, get, serve, main");

    let by = Actor::aground();
    let distinct = |from: &String| Change::Distinct { from: from.clone() };
    let store = &given.store;
    assert!(store.change_group(&by, &one, distinct(&one)).is_err());
    assert!(
        store
            .change_group(&by, &one, distinct(&"f".repeat(16)))
            .is_err()
    );
    let said = store.change_group(&by, &other, distinct(&one)).unwrap();
    assert_eq!(said.life.distinct, std::slice::from_ref(&one));
    assert!(pairs(&given).is_empty());
    let near = store.like(&record(1).id).unwrap();
    assert!(
        near.iter()
            .all(|near| near.distinct == (near.group == other)),
        "{near:?}"
    );
    // It holds for the group that one of them becomes, and after a restart.
    let into = third.clone();
    store
        .change_group(&by, &other, Change::Merge { into })
        .unwrap();
    assert!(pairs(&given).is_empty());
    let given = given.restart();
    assert!(pairs(&given).is_empty());
    given.store.undo_group_change(&by, &third, None).unwrap();
    given
        .store
        .undo_group_change(&by, &other, Some(said.entry.unwrap().sequence))
        .unwrap();
    assert_eq!(pairs(&given), [pair.clone()]);

    let into = one.clone();
    given
        .store
        .change_group(&by, &other, Change::Merge { into })
        .unwrap();
    assert!(pairs(&given).is_empty());
    given.store.undo_group_change(&by, &one, None).unwrap();
    assert_eq!(pairs(&given), [pair]);
    given.store.remove_dump(&record(2).id).unwrap();
    assert!(pairs(&given).is_empty());
}
