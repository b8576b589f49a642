//! `coterm-agent enroll`: from a claim code to a device that can run.

use crate::cli::{ConfigSource, Enroll};
use crate::enrolment::ExchangeError;
use crate::enrolment::join::{Admission, Joined, join};
use crate::enrolment::place::Place;
use crate::enrolment::talk::Server;
use crate::{DONE, FAILED, USAGE};
use coterm_shared::enrolment::code::{ClaimText, KeyPrint};
use rcgen::PublicKeyData;
use std::time::{Duration, Instant};

pub(crate) fn enroll(source: &ConfigSource, arguments: &Enroll) -> u8 {
    let code = match ClaimText::parse(&arguments.code) {
        Ok(code) => code,
        Err(refusal) => {
            eprintln!("{}: {}; {}", refusal.code, refusal.message, refusal.hint);
            return USAGE;
        }
    };
    let place = Place::of(&source.config, &code);
    match place.present() {
        Some(true) => {
            println!(
                "this device is enrolled with this claim code already; start it with `coterm-agent run`"
            );
            return DONE;
        }
        Some(false) if !arguments.replace => return occupied("this device is enrolled already"),
        None if place.is_provisioned() && !arguments.replace => {
            return occupied("this device was provisioned already");
        }
        Some(false) | None => {}
    }
    match work(source, arguments, &code, &place) {
        Ok(admission) => {
            let enrolled = &admission.enrolled;
            println!("enrolled: device {} of organization {}", enrolled.device, enrolled.organization);
            println!(
                "next: look at class and actuators in {}, then `coterm-agent check`",
                source.config.display()
            );
            DONE
        }
        Err(error) => {
            eprintln!("{error}");
            FAILED
        }
    }
}

fn occupied(what: &str) -> u8 {
    eprintln!(
        "{what}; add --replace to give it another identity (the device then belongs to the code's organization)"
    );
    FAILED
}

fn work(
    source: &ConfigSource,
    arguments: &Enroll,
    code: &ClaimText,
    place: &Place,
) -> Result<Box<Admission>, ExchangeError> {
    let server: Server = arguments.server.parse()?;
    let _lock = place.lock()?;
    let key = place.key()?;
    let until = Instant::now() + Duration::from_secs(arguments.wait_secs);
    let mut waits = false;
    loop {
        let pause = match join(&server, code, arguments.device_id.clone(), &key) {
            Ok(Joined::In(admission)) => {
                let class = arguments.class.as_deref();
                place.settle(&source.config, &server, &admission, class)?;
                return Ok(admission);
            }
            Ok(Joined::Waiting(wait)) => {
                if !waits {
                    eprintln!(
                        "waiting for approval as device {}, with the key {}: whoever approves it compares that key \
                         (`coterm enrol pending`); it is safe to stop and to start again",
                        wait.device,
                        KeyPrint::of(&key.subject_public_key_info())
                    );
                }
                waits = true;
                u64::from(wait.secs)
            }
            // Before the first answer a wrong address is more likely than a bad line.
            Err(error @ ExchangeError::Network { .. }) if !waits => return Err(error),
            Err(error) => match error.retry_secs() {
                Some(secs) if Instant::now() < until => secs,
                Some(_) | None => return Err(error),
            },
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ExchangeError::Refused(coterm_shared::token::Refused {
                code: "NOT_YET_APPROVED".to_owned(),
                message: "nobody approved the device yet".to_owned(),
                hint: "start this again with the same code; it goes on where it was".to_owned(),
                retry_secs: None,
            }));
        }
        std::thread::sleep(Duration::from_secs(pause.clamp(1, 60)).min(left));
    }
}
