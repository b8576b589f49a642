//! What a file can be of, its columns, and an example of each.

/// What a file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// License groups.
    Groups,
    /// Sites and sub-sites.
    Sites,
    /// Devices.
    Devices,
    /// Orders of the past, whose keys are claimed at once: vendor staff alone.
    Orders,
}

/// Why a text is not a kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of file: write `groups`, `sites`, `devices` or `orders`")]
pub struct KindError;

impl std::str::FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Kind, KindError> {
        Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or(KindError)
    }
}

impl Kind {
    /// All, in the order in which they are imported.
    pub const ALL: [Kind; 4] = [Kind::Groups, Kind::Sites, Kind::Orders, Kind::Devices];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Groups => "groups",
            Kind::Sites => "sites",
            Kind::Devices => "devices",
            Kind::Orders => "orders",
        }
    }

    /// The columns that must be there.
    #[must_use]
    pub const fn required(self) -> &'static [&'static str] {
        match self {
            Kind::Groups => &["name"],
            Kind::Sites => &["path"],
            Kind::Devices => &["id", "model", "site"],
            Kind::Orders => &["order_number", "product", "quantity", "term_days", "created_at"],
        }
    }

    /// The columns that may be there.
    #[must_use]
    pub const fn optional(self) -> &'static [&'static str] {
        match self {
            Kind::Groups => &[],
            Kind::Sites => &["group"],
            Kind::Devices => &["doors", "trial_days"],
            Kind::Orders => &["key", "weight", "group", "mode", "waited_secs", "code"],
        }
    }

    /// All columns, in the order in which they are written.
    pub fn columns(self) -> impl Iterator<Item = &'static str> {
        self.required().iter().chain(self.optional()).copied()
    }

    /// A file to begin with.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Kind::Groups => "name\r\nNorth\r\nSouth\r\n",
            Kind::Sites => "path,group\r\nHeadquarters,North\r\nHeadquarters/Floor 1,\r\nDepot,\r\n",
            Kind::Devices => {
                "id,model,site,doors,trial_days\r\ncam-0001,CAM-1,Headquarters/Floor 1,,\r\n\
                 door-0001,DOOR-4,Headquarters,2,\r\ncam-0002,CAM-1,Depot,,30\r\n"
            }
            Kind::Orders => {
                "order_number,product,quantity,term_days,created_at,key,weight,group,mode,waited_secs,code\r\n\
                 PO-1001,camera,25,1095,2025-03-01T00:00:00Z,a,199,North,increase,,\r\n\
                 PO-1001,door,8,1095,2025-03-01T00:00:00Z,a,99,North,increase,,\r\n\
                 PO-1002,camera,10,365,2025-09-15T08:30:00Z,,,,,,\r\n"
            }
        }
    }
}
