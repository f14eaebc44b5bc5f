/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's error codes in a few words that stay the same from one OpenSSL to the next: they become
 * log values and metric labels. What is not in a table gets a general word; nothing here carries
 * text a peer has chosen.
 */
#include "tls/ctx.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "base/err.h"

struct entry {
    long code;
    const char *reason;
};

static const char *find(const struct entry *entries, size_t n, long code, const char *otherwise) {
    for (size_t i = 0; i < n; i++) {
        if (entries[i].code == code) {
            return entries[i].reason;
        }
    }
    return otherwise;
}

const char *weir_tls_verify_reason(long verify_result) {
    static const struct entry entries[] = {
        { X509_V_ERR_CERT_HAS_EXPIRED, "certificate expired" },
        { X509_V_ERR_CERT_NOT_YET_VALID, "certificate not yet valid" },
        { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "unknown ca" },
        { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "unknown ca" },
        { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "unknown ca" },
        { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "unknown ca" },
        { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "unknown ca" },
        { X509_V_ERR_CERT_UNTRUSTED, "unknown ca" },
        { X509_V_ERR_CERT_SIGNATURE_FAILURE, "bad certificate signature" },
        { X509_V_ERR_CERT_REVOKED, "certificate revoked" },
        { X509_V_ERR_INVALID_CA, "issuer is not a ca" },
        { X509_V_ERR_INVALID_PURPOSE, "certificate purpose" },
        { X509_V_ERR_HOSTNAME_MISMATCH, "certificate name mismatch" },
        { X509_V_ERR_IP_ADDRESS_MISMATCH, "certificate name mismatch" },
        { X509_V_ERR_PERMITTED_VIOLATION, "name constraint" },
        { X509_V_ERR_EXCLUDED_VIOLATION, "name constraint" },
        { X509_V_ERR_PATH_LENGTH_EXCEEDED, "certificate chain too long" },
        { X509_V_ERR_CERT_CHAIN_TOO_LONG, "certificate chain too long" },
        { X509_V_ERR_EE_KEY_TOO_SMALL, "certificate too weak" },
        { X509_V_ERR_CA_KEY_TOO_SMALL, "certificate too weak" },
        { X509_V_ERR_CA_MD_TOO_WEAK, "certificate too weak" },
    };
    return find(entries, WEIR_ARRAY_LEN(entries), verify_result, "certificate refused");
}

static const char *alert_reason(long alert) {
    static const struct entry entries[] = {
        { SSL_AD_UNEXPECTED_MESSAGE, "alert: unexpected message" },
        { SSL_AD_BAD_RECORD_MAC, "alert: bad record mac" },
        { SSL_AD_HANDSHAKE_FAILURE, "alert: handshake failure" },
        { SSL_AD_BAD_CERTIFICATE, "alert: bad certificate" },
        { SSL_AD_UNSUPPORTED_CERTIFICATE, "alert: unsupported certificate" },
        { SSL_AD_CERTIFICATE_REVOKED, "alert: certificate revoked" },
        { SSL_AD_CERTIFICATE_EXPIRED, "alert: certificate expired" },
        { SSL_AD_CERTIFICATE_UNKNOWN, "alert: certificate unknown" },
        { SSL_AD_ILLEGAL_PARAMETER, "alert: illegal parameter" },
        { SSL_AD_UNKNOWN_CA, "alert: unknown ca" },
        { SSL_AD_ACCESS_DENIED, "alert: access denied" },
        { SSL_AD_DECODE_ERROR, "alert: decode error" },
        { SSL_AD_DECRYPT_ERROR, "alert: decrypt error" },
        { SSL_AD_PROTOCOL_VERSION, "alert: protocol version" },
        { SSL_AD_INSUFFICIENT_SECURITY, "alert: insufficient security" },
        { SSL_AD_INTERNAL_ERROR, "alert: internal error" },
        { SSL_AD_UNRECOGNIZED_NAME, "alert: unrecognized name" },
        { SSL_AD_CERTIFICATE_REQUIRED, "alert: certificate required" },
        { SSL_AD_NO_APPLICATION_PROTOCOL, "alert: no application protocol" },
    };
    return find(entries, WEIR_ARRAY_LEN(entries), alert, "alert");
}

const char *weir_tls_error_reason(unsigned long error) {
    static const struct entry entries[] = {
        { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "no client certificate" },
        { SSL_R_UNSUPPORTED_PROTOCOL, "protocol version" },
        { SSL_R_UNKNOWN_PROTOCOL, "protocol version" },
        { SSL_R_VERSION_TOO_LOW, "protocol version" },
        { SSL_R_VERSION_TOO_HIGH, "protocol version" },
        { SSL_R_WRONG_SSL_VERSION, "protocol version" },
        { SSL_R_INAPPROPRIATE_FALLBACK, "protocol version" },
        { SSL_R_WRONG_VERSION_NUMBER, "not tls" },
        { SSL_R_HTTP_REQUEST, "not tls" },
        { SSL_R_HTTPS_PROXY_REQUEST, "not tls" },
        { SSL_R_NO_SHARED_CIPHER, "no shared cipher" },
        { SSL_R_NO_SUITABLE_KEY_SHARE, "no shared group" },
        { SSL_R_NO_SUITABLE_GROUPS, "no shared group" },
        { SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no shared signature algorithm" },
        { SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "no shared signature algorithm" },
        { SSL_R_NO_APPLICATION_PROTOCOL, "no application protocol" },
        { SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "bad record mac" },
        { SSL_R_DIGEST_CHECK_FAILED, "bad handshake digest" },
        { SSL_R_BAD_SIGNATURE, "bad handshake signature" },
        { SSL_R_ENCRYPTED_LENGTH_TOO_LONG, "record too long" },
        { SSL_R_PACKET_LENGTH_TOO_LONG, "record too long" },
        { SSL_R_DATA_LENGTH_TOO_LONG, "record too long" },
        { SSL_R_EXCESSIVE_MESSAGE_SIZE, "message too long" },
        { SSL_R_UNEXPECTED_MESSAGE, "unexpected message" },
        { SSL_R_UNEXPECTED_RECORD, "unexpected message" },
        { SSL_R_TOO_MANY_KEY_UPDATES, "too many key updates" },
        { SSL_R_TOO_MANY_WARN_ALERTS, "too many alerts" },
        { SSL_R_SHUTDOWN_WHILE_IN_INIT, "closed during handshake" },
    };
    long reason = ERR_GET_REASON(error);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
        if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
            return alert_reason(reason - SSL_AD_REASON_OFFSET);
        }
        return find(entries, WEIR_ARRAY_LEN(entries), reason, "protocol error");
    }
    return "protocol error";
}

bool weir_tls_errors_take(unsigned long *ret_first) {
    unsigned long first = 0, error;
    bool nomem = false;
    while ((error = ERR_get_error()) != 0) {
        if (first == 0) {
            first = error;
        }
        nomem = nomem || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
    }
    *ret_first = first;
    return nomem;
}
