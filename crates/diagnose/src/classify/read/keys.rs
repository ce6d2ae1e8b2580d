//! What the names of fields and headers promise about their values.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A machine code, mostly.
    Code,
    /// Words for people.
    Text,
    /// Addresses, times and numbers of requests: words in them mean nothing.
    Ignored,
    /// Not known.
    Other,
}

const CODES: &[&str] = &[
    "error",
    "errors",
    "code",
    "codes",
    "errorcode",
    "errorcodes",
    "errcode",
    "errortype",
    "type",
    "reason",
    "name",
    "status",
    "title",
    "messageid",
    "suberror",
    "errorsubtype",
    "subcode",
    "errorsubcode",
    "exception",
    "key",
    "errorkey",
    "err",
    "errorname",
    "category",
    "slug",
    "errorid",
    "faultcode",
    "value",
    "subtype",
    "messagecode",
    "errorcause",
    "resultcode",
    "responsecode",
    "returncode",
    "statuscode",
    "failure",
    "cause",
    "id",
    "kind",
    "ecode",
    "errorclass",
    "messagekey",
    "exceptionclass",
    "exceptiontype",
    "classname",
    "field",
    "loc",
];
const TEXTS: &[&str] = &[
    "message",
    "messages",
    "msg",
    "errormessage",
    "errormsg",
    "errmsg",
    "errordescription",
    "description",
    "detail",
    "details",
    "error description",
    "faultstring",
    "fault",
    "text",
    "body",
    "errorsummary",
    "summary",
    "hint",
    "errorhint",
    "errordetail",
    "usermessage",
    "developermessage",
    "erro",
    "mensaje",
    "mensagem",
    "meldung",
    "statusmessage",
    "longmessage",
    "shortmessage",
    "errordebug",
    "debug",
    "note",
    "info",
    "explanation",
    "localizedmessage",
    "data",
    "responsemessage",
    "content",
    "exp",
    "statustext",
    "errordetails",
    "submsg",
    "desc",
    "errordesc",
    "errorusermsg",
    "errorusertitle",
    "alert",
    "errormessages",
    "nonfielderrors",
    "internaldebug",
];
const IGNORED: &[&str] = &[
    "path",
    "instance",
    "timestamp",
    "time",
    "date",
    "traceid",
    "correlationid",
    "requestid",
    "xrequestid",
    "erroruri",
    "documentationurl",
    "documentation",
    "docs",
    "helpurl",
    "moreinfo",
    "href",
    "url",
    "uri",
    "link",
    "links",
    "self",
    "logref",
    "uuid",
    "stack",
    "stacktrace",
    "trace",
    "file",
    "line",
    "host",
    "hostid",
    "resource",
    "method",
    "fbtraceid",
    "nonce",
    "locale",
    "created",
    "updated",
    "redirect",
    "redirecturi",
    "clientid",
    "version",
    "apiversion",
    "servicename",
    "function",
    "class",
    "expirationtime",
    "logid",
    "requestcharge",
    "troubleshooter",
    "domain",
    "service",
    "currency",
    "amount",
    "scope",
    "metadata",
    "consumer",
    "helplink",
    "doclink",
    "docurl",
    "instructions",
];

/// What a field of this name holds.
pub(crate) fn kind(key: &str) -> Kind {
    let mut buffer = [0_u8; 24];
    let Some(plain) = plain(key, &mut buffer) else {
        return Kind::Other;
    };
    if CODES.contains(&plain) {
        Kind::Code
    } else if TEXTS.contains(&plain) {
        Kind::Text
    } else if IGNORED.contains(&plain) {
        Kind::Ignored
    } else if plain.contains("error") || plain.contains("message") || plain.contains("reason") {
        Kind::Code
    } else {
        Kind::Other
    }
}

/// Whether numbers under this name are error codes.
pub(crate) fn holds_numbers(key: &str) -> bool {
    let mut buffer = [0_u8; 24];
    plain(key, &mut buffer).is_some_and(|plain| {
        ["code", "err", "status", "number", "ret"]
            .iter()
            .any(|part| plain.contains(part))
            || plain == "id"
            || plain == "fault"
    })
}

/// `error_code`, however it is spelt.
pub(crate) fn is_error_code(key: &str) -> bool {
    matches!(key, "error_code" | "errorCode")
}

/// Whether a header of this (lower-case) name says in its value what went wrong.
pub(crate) fn header_speaks(name: &str) -> bool {
    !name.starts_with("access-control")
        && !matches!(
            name,
            "x-xss-protection" | "content-type" | "www-authenticate" | "report-to" | "nel"
        )
        && ["error", "reason", "denied", "failure"]
            .iter()
            .any(|part| name.contains(part))
}

/// The name in lower case without `_`, `-` and whatever else; `None` when it is too long for a known one.
fn plain<'b>(key: &str, buffer: &'b mut [u8; 24]) -> Option<&'b str> {
    let mut length = 0;
    for byte in key.bytes().filter(u8::is_ascii_alphanumeric) {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    std::str::from_utf8(&buffer[..length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_matter() {
        assert_eq!(kind("error_code"), Kind::Code);
        assert_eq!(kind("__type"), Kind::Code);
        assert_eq!(kind("Error-Description"), Kind::Text);
        assert_eq!(kind("traceId"), Kind::Ignored);
        assert_eq!(kind("orders"), Kind::Other);
        assert!(holds_numbers("error_subcode") && !holds_numbers("expires_in"));
        assert!(header_speaks("x-amzn-errortype") && !header_speaks("server"));
    }
}
