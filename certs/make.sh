#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A development CA and SPIFFE identities, with nothing but openssl(1). See certs/README.md.
set -eu
umask 022

usage() {
    cat >&2 <<'END'
usage: certs/make.sh [-o DIR] [-t TRUST_DOMAIN] [-d DAYS] [NAMESPACE/ACCOUNT[,DNS_NAME...]]...

  -o DIR           where to write (default: build/certs)
  -t TRUST_DOMAIN  default: cluster.local
  -d DAYS          of the identities (default: 30; the CA lives ten times as long)

Without arguments: default/web default/api default/store default/intruder.
END
    exit 2
}

die() {
    echo "certs/make.sh: $*" >&2
    exit 1
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=build/certs
domain=cluster.local
days=30
while getopts o:t:d: option; do
    case $option in
    o) out=$OPTARG ;;
    t) domain=$OPTARG ;;
    d) days=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- default/web default/api default/store default/intruder

# Names go into a configuration that openssl(1) reads: nothing but name characters may pass.
case $domain in '' | *[!a-z0-9._-]*) die "trust domain: lower case letters, digits, '.', '-', '_'" ;; esac
case $days in '' | *[!0-9]* | 0*) die "days: a number above 0" ;; esac
command -v openssl >/dev/null || die "openssl(1) is needed"

config=$here/openssl.cnf
# openssl reads every variable that the file names, whichever section is asked for.
short() { # the X.500 bound; nobody reads these names
    printf '%.64s' "$1"
}
WEIR_ORG=$(short "$domain")
export WEIR_ORG WEIR_NAME=- WEIR_ID=spiffe://- WEIR_SAN=URI:spiffe://-
mkdir -p "$out"

# A half-written file never has its final name.
key() {
    (umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.new" 2>/dev/null)
    mv "$1.new" "$1"
}

good_for_a_day() {
    [ -s "$1" ] && openssl x509 -in "$1" -noout -checkend 86400 >/dev/null 2>&1
}

same_key() {
    [ "$(openssl x509 -in "$1" -noout -pubkey 2>/dev/null)" = "$(openssl pkey -in "$2" -pubout 2>/dev/null)" ]
}

make_ca() {
    if [ -s "$out/ca.key" ] && good_for_a_day "$out/ca.crt" && same_key "$out/ca.crt" "$out/ca.key"; then
        openssl x509 -in "$out/ca.crt" -noout -ext subjectAltName | grep -qxF "    URI:spiffe://$domain" ||
            die "$out/ca.crt is of another trust domain; use another directory"
        return
    fi
    key "$out/ca.key"
    WEIR_NAME='weir development CA' WEIR_ID=spiffe://$domain \
        openssl req -new -x509 -config "$config" -extensions ca -sha256 -days $((days * 10)) \
        -key "$out/ca.key" -out "$out/ca.crt.new"
    mv "$out/ca.crt.new" "$out/ca.crt"
    echo "made    $out/ca.crt  spiffe://$domain"
}

make_svid() { # NAMESPACE/ACCOUNT[,DNS_NAME...]
    id=${1%%,*}
    ns=${id%%/*} account=${id#*/}
    case $id in */*) ;; *) die "$1: not NAMESPACE/ACCOUNT" ;; esac
    for part in "$ns" "$account"; do
        case $part in '' | . | .. | *[!A-Za-z0-9._-]*) die "$1: not NAMESPACE/ACCOUNT" ;; esac
    done
    uri=spiffe://$domain/ns/$ns/sa/$account
    san=URI:$uri
    rest=${1#"$id"}
    while [ -n "$rest" ]; do
        rest=${rest#,}
        name=${rest%%,*}
        rest=${rest#"$name"}
        case $name in '' | *[!A-Za-z0-9.*-]*) die "$1: '$name' is no DNS name" ;; esac
        san=$san,DNS:$name
    done

    dir=$out/$ns/$account
    mkdir -p "$dir"
    if [ -s "$dir/tls.key" ] && good_for_a_day "$dir/tls.crt" && same_key "$dir/tls.crt" "$dir/tls.key" &&
        openssl verify -CAfile "$out/ca.crt" "$dir/tls.crt" >/dev/null 2>&1 &&
        [ "$(openssl x509 -in "$dir/tls.crt" -noout -ext subjectAltName | sed -n '2s/[ ]//gp')" = "$san" ]; then
        cp "$out/ca.crt" "$dir/ca.crt"
        echo "kept    $dir  $uri"
        return
    fi
    key "$dir/tls.key"
    serial=0x$(openssl rand -hex 16 | sed 's/^./4/')
    WEIR_NAME=$(short "$account") openssl req -new -config "$config" -key "$dir/tls.key" -out "$dir/tls.csr"
    WEIR_SAN=$san openssl x509 -req -in "$dir/tls.csr" -CA "$out/ca.crt" -CAkey "$out/ca.key" \
        -set_serial "$serial" -sha256 -days "$days" -extfile "$config" -extensions svid \
        -out "$dir/tls.crt.new" 2>/dev/null
    rm -f "$dir/tls.csr"
    mv "$dir/tls.crt.new" "$dir/tls.crt"
    cp "$out/ca.crt" "$dir/ca.crt"
    echo "made    $dir  $uri"
}

make_ca
for identity in "$@"; do
    make_svid "$identity"
done
