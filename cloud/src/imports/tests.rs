//! Files as people and spreadsheets write them.

use super::*;
use coterm_shared::id::{GroupId, OrganizationId};
use coterm_shared::licensing::import::ImportRow;
use coterm_shared::licensing::{
    self, Context, FoundOrganization, Limits, Organization, Refusals, SettingsChange,
};
use coterm_shared::platform::{Platform, PlatformCommand, decide};
use coterm_shared::product::ProductType;
use coterm_shared::time::Timestamp;

fn platform() -> Platform {
    let put = PlatformCommand::PutModel { name: "CAM-1".into(), product: ProductType::CAMERA, units: 1 };
    decide(&Platform::default(), &put, Timestamp::EPOCH).unwrap().after
}

fn organization() -> Organization {
    let founding = FoundOrganization {
        id: OrganizationId::from_bytes([1; 16]),
        name: "Acme".into(),
        default_group: GroupId::from_bytes([2; 16]),
        settings: SettingsChange::default(),
        license_groups: true,
    };
    let context = Context { now: Timestamp::EPOCH, limits: Limits::default() };
    licensing::found(&founding, &context).unwrap().after
}

fn parse(kind: Kind, bytes: &[u8]) -> Result<Parsed, Refusals> {
    let mut n = 0_u8;
    let mut fresh = || {
        n += 1;
        Some([n; 16])
    };
    let mut random = || Some([7; 16]);
    read(kind, bytes, &organization(), &platform(), &mut fresh, &mut random, &|_| {})
}

fn faults(kind: Kind, bytes: &[u8]) -> Vec<(String, String)> {
    let refusals = parse(kind, bytes).unwrap_err();
    let one = |refusal: &licensing::Refusal| {
        assert!(!refusal.message.is_empty() && !refusal.hint.is_empty());
        (refusal.code.to_string(), refusal.field.clone().unwrap_or_default())
    };
    refusals.all().iter().map(one).collect()
}

#[test]
fn a_byte_order_mark_quotes_and_both_line_ends_are_read() {
    for text in [
        "path,group\nHQ,North\n\"HQ/A, B\",\n",
        "\u{feff}path,group\r\nHQ,North\r\n\"HQ/A, B\",\r\n",
        "group, Path \r\nNorth, HQ \r\n,\"HQ/A, B\"",
    ] {
        let parsed = parse(Kind::Sites, text.as_bytes()).unwrap();
        let rows: Vec<_> = parsed
            .lines
            .iter()
            .map(|line| {
                let ImportRow::Site { path, group, .. } = &line.row else { panic!("{:?}", line.row) };
                (line.line, path.as_str(), group.as_deref())
            })
            .collect();
        assert_eq!(rows, [(2, "HQ", Some("North")), (3, "HQ/A, B", None)], "{text:?}");
    }
}

#[test]
fn every_template_is_read() {
    for kind in Kind::ALL {
        let found = parse(kind, kind.template().as_bytes());
        // The catalog of the test has one model.
        let unknown = found.as_ref().is_err_and(|refusals| {
            refusals.all().iter().all(|refusal| refusal.code.as_str() == "MODEL_UNKNOWN")
        });
        assert!(found.is_ok() || (kind == Kind::Devices && unknown), "{kind:?}: {found:?}");
        let heads = kind.template().lines().next().unwrap();
        assert_eq!(heads, kind.columns().collect::<Vec<_>>().join(","));
    }
}

#[test]
fn a_wrong_first_line_is_said_whole() {
    let header = |n: usize| vec![("HEADER_INVALID".to_string(), "lines[1]".to_string()); n];
    assert_eq!(faults(Kind::Devices, b"id,site,site,colour\nx,y,z,w\n"), header(3));
    assert_eq!(faults(Kind::Devices, b""), header(1));
    assert_eq!(faults(Kind::Devices, b"id,model,site\n"), header(1));
}

#[test]
fn every_bad_line_is_found_with_its_number_and_column() {
    let bad = "id,model,site,doors\ncam-1,CAM-1,HQ,\na b,CAM-1,HQ,\ncam-2,CAM-9,HQ,\ncam-3,CAM-1,,\ncam-4,CAM-1,HQ\n\
               cam-5,CAM-1,HQ,two\n";
    let expect = [
        ("VALUE_INVALID", "lines[3].id"),
        ("MODEL_UNKNOWN", "lines[4].model"),
        ("VALUE_INVALID", "lines[5].site"),
        ("LINE_MALFORMED", "lines[6]"),
        ("VALUE_INVALID", "lines[7].doors"),
    ];
    let found = faults(Kind::Devices, bad.as_bytes());
    let found: Vec<_> = found.iter().map(|(code, field)| (code.as_str(), field.as_str())).collect();
    assert_eq!(found, expect);
    let latin = b"path,group\nB\xfcro,\n";
    assert_eq!(faults(Kind::Sites, latin), [("LINE_MALFORMED".to_string(), "lines[2].path".to_string())]);
}

#[test]
fn lines_of_one_key_are_one_order_and_must_agree() {
    let heads = "order_number,key,product,quantity,term_days,created_at,group\n";
    let file = format!(
        "{heads}PO-1,a,camera,5,365,2025-01-01T00:00:00Z,North\nPO-1,a,door,2,365,2025-01-01T00:00:00Z,North\n\
         PO-1,b,camera,1,365,2025-01-01T00:00:00Z,\n"
    );
    let parsed = parse(Kind::Orders, file.as_bytes()).unwrap();
    assert_eq!(parsed.orders.iter().map(|(order, _)| order.lines.len()).collect::<Vec<_>>(), [2, 1]);
    // The same file is known again by its keys, whatever codes were made for them.
    let again = parse(Kind::Orders, file.as_bytes()).unwrap();
    assert!(parsed.orders.iter().zip(&again.orders).all(|(one, other)| one.0.id == other.0.id));
    // A key that moves with its books keeps its id.
    let id = "key_01890a5dac96774bbcceb302099a8057";
    let moved = format!("{heads}PO-1,{id},camera,5,365,2025-01-01T00:00:00Z,North\n");
    assert_eq!(parse(Kind::Orders, moved.as_bytes()).unwrap().orders[0].0.id.to_string(), id);
    let differs = format!(
        "{heads}PO-1,a,camera,5,365,2025-01-01T00:00:00Z,North\nPO-1,a,door,2,730,2025-01-01T00:00:00Z,North\n"
    );
    assert_eq!(faults(Kind::Orders, differs.as_bytes()), [("LINES_INVALID".into(), "lines[3].key".into())]);
}

#[test]
fn what_was_made_harmless_is_read_as_it_was() {
    for name in ["=1+1", "-x", "'quoted", "plain", "@at"] {
        let cell = crate::transactions::harmless(name);
        let file = format!("name\n\"{cell}\"\n");
        let parsed = parse(Kind::Groups, file.as_bytes()).unwrap();
        let ImportRow::Group { name: found, .. } = &parsed.lines[0].row else { panic!() };
        assert_eq!(found, name);
    }
}

#[test]
fn what_is_no_csv_with_commas_in_utf8_is_said_in_a_word() {
    let said = |bytes: &[u8]| parse(Kind::Devices, bytes).unwrap_err().all()[0].message.clone();
    assert!(said(b"id;model;site\na;b;c\n").contains("semicolons"));
    assert!(said(b"id\tmodel\tsite\n").contains("tabs"));
    assert!(said(b"\xff\xfei\0d\0,\0").contains("UTF-16"));
}

#[test]
fn a_line_without_an_end_is_not_read_into_memory() {
    let head = b"id,model,site\ncam-1,CAM-1,HQ\ncam-2,CAM-1,\"";
    // Two gigabytes that nobody has to hold.
    let endless = std::io::Read::chain(&head[..], std::io::Read::take(std::io::repeat(b'x'), 2 << 30));
    let mut none = || Some([0; 16]);
    let mut other = || Some([0; 16]);
    let found = read(Kind::Devices, endless, &organization(), &platform(), &mut none, &mut other, &|_| {})
        .unwrap_err();
    let last = found.all().last().unwrap();
    assert_eq!((last.code.as_str(), last.field.as_deref()), ("LINE_MALFORMED", Some("lines[3]")), "{last:?}");
    assert!(last.message.contains("quotation mark"), "{last:?}");
}
