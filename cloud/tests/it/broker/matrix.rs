//! The matrix (R7): everybody, with every topic, in every way, and nobody gets more or less than the table says.

use super::Bench;
use coterm_certs::DeviceCertificate;
use coterm_cloud::conformance::judge::{Judged, Stage};
use coterm_cloud::conformance::judge_cloud;
use coterm_cloud::conformance::matrix::{Kind, TABLE, Verb, Who};
use std::collections::BTreeMap;

/// Tries everything and finds nothing.
pub(super) async fn holds(bench: &Bench, revoked: &DeviceCertificate) {
    let scene = bench.conformance(revoked);
    let mut all = Vec::new();
    let mut stage = Stage::open(&scene).await.unwrap();
    for face in std::iter::once(&scene.own).chain(&scene.strangers) {
        stage.everything(face, |judged| all.push(judged)).await.unwrap();
    }
    let cloud = scene.cloud_face.as_ref().unwrap();
    match scene.kind {
        // The cloud is in the same process; its certificate opens nothing.
        Kind::Embedded => stage.everything(cloud, |judged| all.push(judged)).await.unwrap(),
        Kind::External => {
            stage.close().await;
            bench.cloud.stop().await;
            judge_cloud::everything(&scene, cloud, |judged| all.push(judged)).await.unwrap();
        }
    }
    let wrong: Vec<&Judged> = all.iter().filter(|judged| judged.wrong.is_some()).collect();
    assert!(wrong.is_empty(), "{} of {} are not as the table says: {wrong:#?}", wrong.len(), all.len());

    // Nobody was left out.
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for judged in &all {
        *tried.entry(judged.who.name()).or_default() += 1;
    }
    let filters = TABLE.iter().filter(|line| line.is_filter()).count();
    for who in Who::ALL {
        assert_eq!(tried.get(who.name()), Some(&(TABLE.len() * Verb::ALL.len() - filters)), "{who:?}");
    }
    assert_eq!(all.iter().filter(|judged| judged.who == Who::Device && judged.expected).count(), 5);
}
