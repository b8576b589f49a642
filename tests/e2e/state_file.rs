//! The state on the device's disk is damaged: the other half serves, or nothing does; never something milder.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::Device;
use coterm_tests::operator::CAMERA;
use coterm_tests::wait::{eventually, holds};
use std::path::{Path, PathBuf};

/// A device that is locked, its cloud gone and its agent ended: what it knows is on its disk.
fn locked_device(cloud: &mut Cloud) -> Device {
    let (tenant, mut camera) = Device::only_camera(cloud, 1, 3_600);
    camera.start();
    camera.reaches(OperatingMode::Full);
    tenant.device("cam-2", "North", CAMERA);
    camera.reaches(OperatingMode::ManagementLocked);
    cloud.stop();
    assert!(camera.stop().success());
    camera
}

/// The two slots: the files of the state directory that are neither empty nor locks.
fn slots(camera: &Device) -> Vec<(PathBuf, Vec<u8>)> {
    let slots: Vec<_> = camera.state_bytes().into_iter().filter(|(_, bytes)| bytes.len() > 100).collect();
    assert_eq!(slots.len(), 2, "two slots: {:?}", slots.iter().map(|(path, _)| path).collect::<Vec<_>>());
    slots
}

fn restore(slots: &[(PathBuf, Vec<u8>)]) {
    for (path, bytes) in slots {
        std::fs::write(path, bytes).unwrap();
    }
}

/// What is done to a slot: its file, its bytes, and where its record ends.
type Damage = fn(&Path, &[u8], usize);

fn bits_flipped(path: &Path, bytes: &[u8], at: usize) {
    let mut damaged = bytes.to_vec();
    damaged[at] ^= 0x40;
    std::fs::write(path, damaged).unwrap();
}

#[test]
fn a_damaged_slot_gives_way_to_the_other_and_two_to_none() {
    let mut cloud = Cloud::start();
    let mut camera = locked_device(&mut cloud);
    let held = camera.state().unwrap().token;
    let whole = slots(&camera);
    let record =
        whole.iter().map(|(_, bytes)| bytes.iter().rposition(|byte| *byte != 0).unwrap()).min().unwrap();

    let damage: [(&str, Damage); 5] = [
        ("emptied", |path, _, _| std::fs::write(path, b"").unwrap()),
        ("cut in half", |path, bytes, end| std::fs::write(path, &bytes[..end / 2]).unwrap()),
        ("its head flipped", |path, bytes, _| bits_flipped(path, bytes, 9)),
        ("its middle flipped", |path, bytes, end| bits_flipped(path, bytes, end / 2)),
        ("its end flipped", |path, bytes, end| bits_flipped(path, bytes, end - 1)),
    ];
    for (what, damage) in damage {
        for broken in [&whole[..1], &whole[1..], &whole[..]] {
            restore(&whole);
            for (path, bytes) in broken {
                damage(path, bytes, record);
            }
            // The public file must come from what is on the disk now, not from before.
            let _ = std::fs::remove_file(camera.dir().join("run/state.json"));
            camera.start();
            let state =
                eventually(&format!("a state after {} slot(s) {what}", broken.len()), || camera.state());
            assert_eq!(
                state.mode,
                OperatingMode::ManagementLocked,
                "{} slot(s) {what}: {state:?}",
                broken.len()
            );
            if broken.len() == 2 {
                assert_eq!(state.token, None, "nothing is made of two damaged halves ({what})");
            } else {
                assert!(
                    state.token.is_some() && state.token <= held,
                    "an older or the same token ({what}): {state:?}"
                );
            }
            camera.kill();
        }
    }
    // The cloud back, it is told everything again.
    cloud.restart();
    camera.start();
    eventually("a token after the loss of both slots", || {
        let state = camera.state()?;
        holds(state.token >= held && state.mode == OperatingMode::ManagementLocked, &state)
    });
}
