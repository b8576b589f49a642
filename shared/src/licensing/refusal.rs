//! Why a command was refused: a closed list of codes, each with a sentence and what to do.
//!
//! A refusal changes nothing. All reasons that can be found are reported together, so that one correction is enough.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;

/// Whose fault a refusal is, for transports that must choose a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalKind {
    /// The command is wrong in itself: no state could accept it.
    Invalid,
    /// It names something that does not exist.
    NotFound,
    /// It does not fit the present state.
    Conflict,
    /// The rules never allow it to this caller.
    Forbidden,
}

macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)+) => {
        /// The closed list of refusal codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RefusalCode {
            $($(#[$doc])* $name,)+
        }

        impl RefusalCode {
            /// Every code, in the order of the list.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$name,)+];

            /// The stable text of the code.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(RefusalCode::$name => $text,)+
                }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn kind(self) -> RefusalKind {
                match self {
                    $(RefusalCode::$name => RefusalKind::$kind,)+
                }
            }
        }
    };
}

refusal_codes! {
    /// A name is empty, too long or holds control characters.
    NameInvalid = "NAME_INVALID", Invalid;
    /// A name is already used among its siblings.
    NameTaken = "NAME_TAKEN", Conflict;
    /// An id is already used.
    IdTaken = "ID_TAKEN", Conflict;
    /// A time zone is not in the IANA database.
    TimeZoneUnknown = "TIME_ZONE_UNKNOWN", Invalid;
    /// A setting lies outside the bounds the vendor sets.
    SettingOutOfBounds = "SETTING_OUT_OF_BOUNDS", Invalid;
    /// The command asks for no change.
    NothingToChange = "NOTHING_TO_CHANGE", Invalid;
    /// No such license group.
    GroupNotFound = "GROUP_NOT_FOUND", NotFound;
    /// The default group cannot be deleted (domain G1).
    GroupIsDefault = "GROUP_IS_DEFAULT", Conflict;
    /// A group with sites or keys cannot be deleted (domain G5).
    GroupNotEmpty = "GROUP_NOT_EMPTY", Conflict;
    /// No such site.
    SiteNotFound = "SITE_NOT_FOUND", NotFound;
    /// A sub-site follows its root's group and cannot have one of its own (domain G2).
    SubSiteHasNoGroup = "SUB_SITE_HAS_NO_GROUP", Invalid;
    /// Sites nest at most so deep.
    SiteTooDeep = "SITE_TOO_DEEP", Conflict;
    /// A site with sub-sites or devices cannot be deleted.
    SiteNotEmpty = "SITE_NOT_EMPTY", Conflict;
    /// No such device.
    DeviceNotFound = "DEVICE_NOT_FOUND", NotFound;
    /// The device is already claimed, here or elsewhere.
    DeviceAlreadyClaimed = "DEVICE_ALREADY_CLAIMED", Conflict;
    /// The device is already retired.
    DeviceRetired = "DEVICE_RETIRED", Conflict;
    /// A device consumes 1 to 10⁹ units.
    UnitsOutOfBounds = "UNITS_OUT_OF_BOUNDS", Invalid;
    /// A quantity is outside 1 to 10⁹.
    QuantityOutOfBounds = "QUANTITY_OUT_OF_BOUNDS", Invalid;
    /// A weight or price is outside 1 to 10⁹.
    WeightOutOfBounds = "WEIGHT_OUT_OF_BOUNDS", Invalid;
    /// A term is outside 1 to 36,500 days, or ends after the year 9999.
    TermOutOfBounds = "TERM_OUT_OF_BOUNDS", Invalid;
    /// A key has no lines, too many, or two for one product type.
    LinesInvalid = "LINES_INVALID", Invalid;
    /// A creation date in the future.
    CreatedInFuture = "CREATED_IN_FUTURE", Invalid;
    /// An order number is empty, too long or holds control characters.
    OrderNumberInvalid = "ORDER_NUMBER_INVALID", Invalid;
    /// The key is already claimed in this organization.
    KeyAlreadyClaimed = "KEY_ALREADY_CLAIMED", Conflict;
    /// The key's own term has passed (domain K5).
    KeyTermPassed = "KEY_TERM_PASSED", Conflict;
    /// The group would hold more than 10⁶ lines (domain §1).
    TooManyLines = "TOO_MANY_LINES", Conflict;
    /// The key code is unknown or claimed elsewhere; which of them is not said (domain K1).
    KeyNotClaimable = "KEY_NOT_CLAIMABLE", NotFound;
    /// A key code is not well formed: wrong length, alphabet or check symbol.
    KeyCodeMalformed = "KEY_CODE_MALFORMED", Invalid;
    /// A key with this code exists.
    KeyCodeTaken = "KEY_CODE_TAKEN", Conflict;
    /// The price book has no price for this product type.
    PriceUnknown = "PRICE_UNKNOWN", Conflict;
    /// The catalog has no such model.
    ModelUnknown = "MODEL_UNKNOWN", NotFound;
    /// A model name is empty, too long or holds other characters than letters, digits, `-`, `_`, `.` and `+`.
    ModelInvalid = "MODEL_INVALID", Invalid;
    /// A defect of the program: the change contradicts its own state. Nothing was changed.
    InternalContradiction = "INTERNAL_CONTRADICTION", Conflict;
    /// License groups are not enabled (domain G1).
    GroupsNotEnabled = "GROUPS_NOT_ENABLED", Conflict;
    /// License groups are already enabled (domain G1).
    GroupsAlreadyEnabled = "GROUPS_ALREADY_ENABLED", Conflict;
    /// A setting that only the organization has.
    SettingNotOfGroups = "SETTING_NOT_OF_GROUPS", Invalid;
    /// Only a group follows its organization, and not in what it is given a value of its own for (domain E1).
    SettingNotInherited = "SETTING_NOT_INHERITED", Invalid;
    /// The scope of enforcement cannot widen during a shortfall (domain C3).
    ScopeInUse = "SCOPE_IN_USE", Conflict;
    /// A site cannot be moved into itself or into what is in it (domain G2).
    SiteCycle = "SITE_CYCLE", Conflict;
    /// The site, device or key is already there.
    AlreadyThere = "ALREADY_THERE", Conflict;
    /// Nothing moves from a group to Unassigned but a key (domain G3, E2).
    NotToUnassigned = "NOT_TO_UNASSIGNED", Conflict;
    /// The device has used up grace and cannot start anew in Unassigned (domain E2).
    DeviceCarriesClock = "DEVICE_CARRIES_CLOCK", Conflict;
    /// A stay in Unassigned ends when it was announced to; no move starts its countdown anew (domain G3).
    CountdownWouldRestart = "COUNTDOWN_WOULD_RESTART", Conflict;
    /// The device was replaced and cannot come back (domain G9).
    DeviceReplaced = "DEVICE_REPLACED", Conflict;
    /// The device was reported stolen (domain G10).
    DeviceStolen = "DEVICE_STOLEN", Conflict;
    /// The device is not on trial.
    DeviceNotOnTrial = "DEVICE_NOT_ON_TRIAL", Conflict;
    /// The device is no door controller (domain G7).
    NotADoorController = "NOT_A_DOOR_CONTROLLER", Invalid;
    /// A door controller has at least one configured door and at most those of its model (domain G7).
    DoorsOutOfBounds = "DOORS_OUT_OF_BOUNDS", Invalid;
    /// A device has one trial, when it is first claimed (domain G8).
    TrialUsed = "TRIAL_USED", Conflict;
    /// No such key in this organization.
    KeyNotFound = "KEY_NOT_FOUND", NotFound;
    /// The key is retired, split or transferred.
    KeyNotInUse = "KEY_NOT_IN_USE", Conflict;
    /// The key has waited in a queue before: its clock stands still once (domain D5, K3).
    KeyWaitedAlready = "KEY_WAITED_ALREADY", Conflict;
    /// The key is in a group; only an unassigned one can do that.
    KeyNotUnassigned = "KEY_NOT_UNASSIGNED", Conflict;
    /// The change would leave a group with keys whose common end has passed (domain K5).
    GroupWouldOwe = "GROUP_WOULD_OWE", Conflict;
    /// A part of a split would be empty (domain K7).
    SplitPartEmpty = "SPLIT_PART_EMPTY", Invalid;
    /// The parts of a split do not add up to the key (domain K7).
    SplitDoesNotAddUp = "SPLIT_DOES_NOT_ADD_UP", Invalid;
    /// Both parts of a split would go to other organizations (domain K7).
    BothPartsLeave = "BOTH_PARTS_LEAVE", Invalid;
    /// A renewal waits in a group, and none was named (domain K3).
    RenewalNeedsGroup = "RENEWAL_NEEDS_GROUP", Invalid;
    /// The first line of a file does not name the columns it needs.
    HeaderInvalid = "HEADER_INVALID", Invalid;
    /// By a file more devices would be put on the way to a lock than one operation may without approval (domain E6).
    ImportLocksOut = "IMPORT_LOCKS_OUT", Conflict;
    /// A line of a file is not well formed.
    LineMalformed = "LINE_MALFORMED", Invalid;
    /// A cell of a file is empty or not what its column holds.
    ValueInvalid = "VALUE_INVALID", Invalid;
    /// Licenses go along with a site or device that moves to another group, and nothing does (domain G4).
    NothingMoves = "NOTHING_MOVES", Invalid;
    /// A key that should go along is not active where the site or device comes from (domain G4).
    KeyNotOfSource = "KEY_NOT_OF_SOURCE", Conflict;
    /// With the licenses that go along one of the groups would be noncompliant (domain G4).
    LicensesDoNotSuffice = "LICENSES_DO_NOT_SUFFICE", Conflict;
    /// No set of licenses that goes along leaves both groups compliant (domain G4).
    LicensesCannotFollow = "LICENSES_CANNOT_FOLLOW", Conflict;
    /// What the preview was computed on has changed (domain K9).
    PreviewOutdated = "PREVIEW_OUTDATED", Conflict;
    /// The digest is that of the preview of another change (domain K9).
    PreviewOfAnotherChange = "PREVIEW_OF_ANOTHER_CHANGE", Conflict;
    /// A claim code is not well formed: wrong length, alphabet or check symbols.
    ClaimCodeMalformed = "CLAIM_CODE_MALFORMED", Invalid;
    /// The claim code is unknown, used, ended, revoked or not for this device; which of them is not said.
    ClaimCodeNotUsable = "CLAIM_CODE_NOT_USABLE", NotFound;
    /// No such claim code in this organization.
    ClaimCodeNotFound = "CLAIM_CODE_NOT_FOUND", NotFound;
    /// The claim code was used, or is no longer open.
    ClaimCodeSpent = "CLAIM_CODE_SPENT", Conflict;
    /// The organization has as many open claim codes as it may have.
    TooManyClaimCodes = "TOO_MANY_CLAIM_CODES", Conflict;
    /// No device waits for approval with this claim code.
    EnrolmentNotPending = "ENROLMENT_NOT_PENDING", Conflict;
    /// An administrator denied the device.
    EnrolmentDenied = "ENROLMENT_DENIED", Forbidden;
    /// The list of devices is empty, or longer than it may be.
    ListOutOfBounds = "LIST_OUT_OF_BOUNDS", Invalid;
    /// No such held operation (domain E6).
    HeldOperationNotFound = "HELD_OPERATION_NOT_FOUND", NotFound;
    /// The held operation was decided on, or nobody did in time (domain E6).
    HeldOperationClosed = "HELD_OPERATION_CLOSED", Conflict;
    /// The held operation was written down by a program this one cannot read (domain E6).
    HeldOperationUnreadable = "HELD_OPERATION_UNREADABLE", Conflict;
    /// Who asked for an operation cannot approve it, nor can a credential they made (domain E6).
    ApprovalByAsker = "APPROVAL_BY_ASKER", Forbidden;
    /// Nobody but who asked for an operation can withdraw it (domain E6).
    WithdrawalByOther = "WITHDRAWAL_BY_OTHER", Forbidden;
    /// An approval names the digest of what was looked at (domain E6, K9).
    ApprovalUnseen = "APPROVAL_UNSEEN", Invalid;
    /// As many operations wait as may (domain E6).
    TooManyHeld = "TOO_MANY_HELD", Conflict;
    /// Enforcement is frozen already (domain E6).
    AlreadyFrozen = "ALREADY_FROZEN", Conflict;
    /// Enforcement is not frozen (domain E6).
    NotFrozen = "NOT_FROZEN", Conflict;
    /// No such organization.
    OrganizationNotFound = "ORGANIZATION_NOT_FOUND", NotFound;
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RefusalCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One reason why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The field of the command that is at fault, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Refusal {
    /// A refusal that blames no single field.
    pub fn new(code: RefusalCode, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), hint: hint.into(), field: None }
    }

    /// The same refusal, blaming `field`.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Refusal {
        self.field = Some(field.into());
        self
    }
}

/// All reasons why a command was refused, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// All of them, in the order found.
    #[must_use]
    pub fn all(&self) -> &[Refusal] {
        &self.0
    }

    /// The gravest kind among them: something missing before a conflict before plain invalidity is never hidden.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.0.iter().map(|refusal| refusal.code.kind()).min().unwrap_or(RefusalKind::Invalid)
    }

    /// Whether one of them has this code.
    #[must_use]
    pub fn has(&self, code: RefusalCode) -> bool {
        self.0.iter().any(|refusal| refusal.code == code)
    }
}

/// These refusals together; `None` if there are none.
#[must_use]
pub fn refusals_of(refusals: Vec<Refusal>) -> Option<Refusals> {
    if refusals.is_empty() { None } else { Some(Refusals(refusals)) }
}

impl From<Refusal> for Refusals {
    fn from(refusal: Refusal) -> Refusals {
        Refusals(alloc::vec![refusal])
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", refusal.code, refusal.message)?;
        }
        Ok(())
    }
}

impl core::error::Error for Refusals {}

/// Collects refusals while a command is checked, so that all are found before the first stops anything.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Refusal>);

impl Findings {
    pub(crate) fn push(&mut self, refusal: Refusal) {
        self.0.push(refusal);
    }

    /// Adds the refusals of a check, if it found any.
    pub(crate) fn extend(&mut self, refusals: impl IntoIterator<Item = Refusal>) {
        self.0.extend(refusals);
    }

    /// Keeps the value, or the reason there is none.
    pub(crate) fn keep<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.0.push(refusal);
                None
            }
        }
    }

    /// Ends the checks: the refusals found, if any.
    pub(crate) fn finish(self) -> Result<(), Refusals> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusals(self.0)) }
    }

    /// Ends the checks with a value that exists unless something was refused.
    pub(crate) fn finish_with<T>(self, value: Option<T>) -> Result<T, Refusals> {
        match (value, self.0.is_empty()) {
            (Some(value), true) => Ok(value),
            (None, true) => Err(Refusal::new(
                RefusalCode::NothingToChange,
                "the command is incomplete",
                "report this: a check failed without saying why",
            )
            .into()),
            (_, false) => Err(Refusals(self.0)),
        }
    }
}
