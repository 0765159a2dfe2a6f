//! The authority of a cluster and what it issues.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls::pki_types::ServerName;
use spillway_trust::{Authority, AuthorityError, Certificate, CertificateError, IssuedIdentity, Validity};

use crate::{DAY, authority, issue, node};

/// A certificate of the authority with the names given, made beside it, as an operator's other tools can.
fn issue_beside(authority: &Authority, names: Vec<SanType>) -> IssuedIdentity {
    let key = KeyPair::from_pem(&authority.key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(authority.certificate_pem(), key).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "database");
    params.subject_alt_names = names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    IssuedIdentity {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem().into(),
        ..issue(authority, "database")
    }
}

/// A certificate that is right in all but that it names no node.
pub(crate) fn service(authority: &Authority) -> IssuedIdentity {
    issue_beside(authority, vec![SanType::DnsName("database.acme.example".try_into().unwrap())])
}

fn read(issued: &IssuedIdentity) -> Certificate {
    Certificate::from_pem(&issued.certificate_pem).unwrap().remove(0)
}

#[test]
fn an_authority_says_whose_it_is_and_comes_back_from_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority("acme");
    made.save(folder.path()).unwrap();
    let read = Authority::load(folder.path()).unwrap();
    assert_eq!(read.certificate(), made.certificate());
    assert_eq!((read.cluster().as_str(), read.certificate().is_authority), ("acme", true));
    assert_eq!(read.certificate().authority_of(), Some("acme".parse().unwrap()));
    let refused = authority("acme").save(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("ca.crt is there already"), "{refused}");
}

#[test]
fn a_certificate_names_its_node_twice_and_its_addresses() {
    let addresses = ["box.example.com", "10.0.0.7"].map(|text| ServerName::try_from(text).unwrap());
    let issued = authority("acme").issue(&node("a"), Validity::from_now(DAY), &addresses).unwrap();
    let certificate = read(&issued);
    assert_eq!(certificate.identity(), Ok(node("a")));
    assert_eq!(certificate.uris, ["spiffe://acme/region/eu/site/paris/edge/a"]);
    assert_eq!(certificate.dns_names, ["a.acme.spillway", "box.example.com"]);
    assert_eq!(certificate.addresses, ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((certificate.is_authority, certificate.authority_of()), (false, None));
}

#[test]
fn no_certificate_outlives_its_authority() {
    let authority = authority("acme");
    let long = authority.issue(&node("a"), Validity::from_now(1000 * DAY), &[]).unwrap();
    assert_eq!(long.not_after, authority.certificate().not_after);
    assert_eq!(read(&long).not_after, authority.certificate().not_after);
}

#[test]
fn no_node_gets_the_name_of_another_one_or_of_another_cluster() {
    let authority = authority("acme");
    for name in ["b.acme.spillway", "B.ACME.SPILLWAY", "b.acme.spillway.", "x.spillway"] {
        let address = ServerName::try_from(name).unwrap();
        let refused = authority.issue(&node("a"), Validity::from_now(DAY), &[address]).err().unwrap();
        assert!(matches!(refused, AuthorityError::ReservedName(_)), "{name}: {refused}");
    }
    let refused = authority.issue(&node("other/a"), Validity::from_now(DAY), &[]).err().unwrap();
    assert!(matches!(refused, AuthorityError::WrongCluster { .. }), "{refused}");
}

#[test]
fn a_certificate_that_names_two_nodes_or_one_in_two_ways_names_none() {
    let authority = authority("acme");
    let uri = |name: &str| SanType::URI(node(name).to_string().try_into().unwrap());
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let identity = |names| read(&issue_beside(&authority, names)).identity();
    assert_eq!(identity(vec![uri("a"), dns("a.acme.spillway")]), Ok(node("a")));
    for names in [
        vec![],
        vec![dns("a.acme.spillway")],
        vec![uri("a"), uri("b"), dns("a.acme.spillway")],
        vec![uri("a"), uri("a"), dns("a.acme.spillway")],
    ] {
        let refused = identity(names).unwrap_err();
        assert!(matches!(refused, CertificateError::Uris { .. }), "{refused}");
    }
    for names in [
        vec![uri("a")],
        vec![uri("a"), dns("b.acme.spillway")],
        vec![uri("a"), dns("a.other.spillway")],
        vec![uri("a"), dns("a.acme.spillway"), dns("b.acme.spillway")],
        vec![uri("a"), dns("*.acme.spillway")],
    ] {
        let refused = identity(names).unwrap_err();
        assert!(matches!(refused, CertificateError::Name { .. }), "{refused}");
    }
    let elsewhere = SanType::URI("https://example.com/a".try_into().unwrap());
    assert!(matches!(identity(vec![elsewhere]), Err(CertificateError::Identity(_))));
}

#[test]
fn a_key_of_another_authority_or_a_certificate_of_none_makes_no_authority() {
    let (one, other) = (authority("acme"), authority("acme"));
    let refused = Authority::from_pem(one.certificate_pem(), &other.key_pem()).err().unwrap();
    assert!(matches!(refused, AuthorityError::KeyMismatch), "{refused}");
    let issued = issue(&one, "a");
    let refused = Authority::from_pem(&issued.certificate_pem, &issued.key_pem).err().unwrap();
    assert!(matches!(refused, AuthorityError::NotAuthority { .. }), "{refused}");
    for (certificate, key) in [("", one.key_pem()), (one.certificate_pem(), String::new().into())] {
        Authority::from_pem(certificate, &key).err().unwrap();
    }
}

#[test]
fn bytes_that_are_no_certificate_are_refused_however_they_are_cut() {
    let pem = issue(&authority("acme"), "a").certificate_pem;
    let der =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pem.as_bytes());
    let der = der.unwrap();
    Certificate::from_der(&der).unwrap();
    for length in 0..der.len() {
        Certificate::from_der(&der[..length]).unwrap_err();
    }
    Certificate::from_der(&[&der[..], b"x"].concat()).unwrap_err();
    Certificate::from_pem("").unwrap_err();
}
