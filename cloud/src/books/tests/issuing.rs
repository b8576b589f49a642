//! Issuing tokens: the sequence, the record, and when nothing is issued.

use super::*;
use coterm_shared::time::Seconds;

pub(super) fn wish(of: u8, n: u32) -> ToIssue {
    ToIssue {
        device: device(n),
        organization: organization(of),
        epoch: 3,
        wanted: [n as u8; 32],
        lease_secs: Seconds(600),
        answers_nonce: false,
    }
}

/// Signs with the sequence as text.
pub(super) fn sign(allocated: &[Allocated]) -> Vec<Result<Vec<u8>, SignError>> {
    allocated.iter().map(|token| Ok(token.issued.seq.to_string().into_bytes())).collect()
}

fn seqs(signed: &[Signed]) -> Vec<u64> {
    signed.iter().map(|token| token.as_ref().unwrap().0.seq).collect()
}

#[tokio::test]
async fn sequences_follow_time_and_never_repeat_per_organization() {
    let (books, clock, dir) = fresh().await;
    let millis = clock.unix_millis();
    let batch = vec![wish(1, 1), wish(2, 2), wish(1, 3)];
    let signed = books.issue(batch, sign).await.unwrap();
    assert_eq!(seqs(&signed), [millis, millis, millis + 1]);
    let (issued, token) = signed[2].clone().unwrap();
    assert_eq!(token, issued.seq.to_string().into_bytes());
    assert_eq!((issued.epoch, issued.issued_at), (3, clock.now()));
    assert_eq!(issued.lease_ends_at, clock.now().saturating_add(Seconds(600)));

    // Within the same millisecond the sequence counts on, also after a restart.
    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!(seqs(&books.issue(vec![wish(1, 1)], sign).await.unwrap()), [millis + 2]);
    clock.advance(Seconds(5));
    assert_eq!(seqs(&books.issue(vec![wish(1, 1)], sign).await.unwrap()), [millis + 5000]);

    let mut newest: Vec<_> =
        books.issued().await.unwrap().into_iter().map(|(i, _)| (i.device.to_string(), i.seq)).collect();
    newest.sort();
    let expect = [("cam-1", millis + 5000), ("cam-2", millis), ("cam-3", millis + 1)];
    assert_eq!(newest, expect.map(|(device, seq)| (device.to_owned(), seq)));
    let (issued, token) = books.token(&device(1)).await.unwrap().unwrap();
    assert_eq!((issued.wanted, token), ([1; 32], (millis + 5000).to_string().into_bytes()));
    assert_eq!(books.token(&device(9)).await.unwrap(), None);
}

#[tokio::test]
async fn a_large_batch_keeps_its_order_and_leaves_room_for_others() {
    let (books, _clock, _dir) = fresh().await;
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let count = u32::try_from(issue::CHUNK * 2 + 1).unwrap();
    let signed = books
        .issue((0..count).map(|n| wish(1, n)).collect(), move |allocated| {
            seen.lock().unwrap().push((allocated[0].index, allocated.len()));
            sign(allocated)
        })
        .await
        .unwrap();
    assert_eq!(*sizes.lock().unwrap(), [(0, 500), (500, 500), (1000, 1)]);
    assert!(seqs(&signed).is_sorted_by(|a, b| a < b));
    let devices: Vec<_> = signed.iter().map(|token| token.as_ref().unwrap().0.device.clone()).collect();
    assert_eq!(devices, (0..count).map(device).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_signed_is_not_recorded() {
    let (books, _clock, _dir) = fresh().await;
    let some = |allocated: &[Allocated]| -> Vec<_> {
        let decline = |token: &Allocated| match token.index {
            1 => Err(SignError("no key for this epoch".to_owned())),
            _ => Ok(vec![1]),
        };
        allocated.iter().map(decline).collect()
    };
    let signed = books.issue(vec![wish(1, 1), wish(1, 2), wish(1, 3)], some).await.unwrap();
    assert_eq!(signed[1], Err(SignError("no key for this epoch".to_owned())));
    assert_eq!(books.issued().await.unwrap().len(), 2);
    assert_eq!(books.token(&device(2)).await.unwrap(), None);

    let broken = books.issue(vec![wish(1, 4)], |_| panic!("a defect of the signer")).await;
    assert_eq!(broken.unwrap_err().code(), "INTERNAL");
    let short = books.issue(vec![wish(1, 4)], |_| Vec::new()).await;
    assert_eq!(short.unwrap_err().code(), "INTERNAL");
    assert_eq!(books.issued().await.unwrap().len(), 2);
    books.issue(vec![wish(1, 4)], sign).await.unwrap();
}

#[tokio::test]
async fn nothing_is_issued_while_the_time_is_in_doubt() {
    let (books, clock, dir) = fresh().await;
    clock.set(clock.now().saturating_add(Seconds::days(2)));
    let refused = books.issue(vec![wish(1, 1)], sign).await.unwrap_err();
    assert_eq!(refused.code(), "TIME_IN_DOUBT");
    assert!(books.time_doubt().is_some());
    run(&books, [create_group(1, 2)]).await;
    books.confirm_time().await.unwrap();
    assert_eq!(books.time_doubt(), None);
    books.issue(vec![wish(1, 1)], sign).await.unwrap();

    books.close().await;
    clock.advance(Seconds::days(31));
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!(books.issue(vec![wish(1, 1)], sign).await.unwrap_err().code(), "TIME_IN_DOUBT");
}

#[tokio::test]
async fn statuses_survive_a_restart_and_the_latest_wins() {
    let (books, clock, dir) = fresh().await;
    for body in [b"old", b"new"] {
        let organization = OrganizationId::from_bytes([1; 16]);
        let (device, heard_at, body) = (device(1), books.now(), body.to_vec());
        let status = DeviceStatus { device, organization, heard_at, body };
        books.record_statuses(vec![status]).await.unwrap();
    }
    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    let statuses = books.statuses().await.unwrap();
    assert_eq!(statuses.iter().map(|status| status.body.as_slice()).collect::<Vec<_>>(), [b"new"]);
}
