// SPDX-License-Identifier: Apache-2.0

// The system's OpenSSL 3, and functions for those of its macros that Swift does not see.
//
// Only the Swift target `TLSEngine` imports this module. Names start with `CBusbarSSL_`.

#ifndef BUSBAR_COPENSSL_H
#define BUSBAR_COPENSSL_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stddef.h>
#include <stdint.h>

// -- Contexts ---------------------------------------------------------------------------------

/// Lets a context speak TLS 1.3 and nothing else. 1 on success.
static inline int CBusbarSSL_requireTLS13(SSL_CTX *context) {
  return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1;
}

/// Turns off everything that could carry a session or early data into a later connection, and the
/// buffers that idle connections would keep.
static inline void CBusbarSSL_disableResumption(SSL_CTX *context) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

/// Names the key exchange groups, in order of preference. 1 on success.
static inline long CBusbarSSL_setGroups(SSL_CTX *context, const char *list) {
  return SSL_CTX_set1_groups_list(context, list);
}

/// Names the signature algorithms that both sides may use. 1 on success.
static inline long CBusbarSSL_setSignatureAlgorithms(SSL_CTX *context, const char *list) {
  return SSL_CTX_set1_sigalgs_list(context, list);
}

/// Bounds the size of the peer's certificate chain, in bytes.
static inline void CBusbarSSL_setMaximumChainByteCount(SSL_CTX *context, long byteCount) {
  SSL_CTX_set_max_cert_list(context, byteCount);
}

/// Appends a copy of an intermediate certificate to what a context presents. 1 on success.
static inline long CBusbarSSL_addChainCertificate(SSL_CTX *context, X509 *certificate) {
  return SSL_CTX_add1_chain_cert(context, certificate);
}

// -- Connections ------------------------------------------------------------------------------

/// Remembers a pointer with a connection.
static inline int CBusbarSSL_setOwner(SSL *ssl, void *owner) { return SSL_set_ex_data(ssl, 0, owner); }

/// The pointer that was remembered with a connection.
static inline void *CBusbarSSL_owner(const SSL *ssl) { return SSL_get_ex_data(ssl, 0); }

/// The connection on whose behalf a chain is being verified.
static inline SSL *CBusbarSSL_connection(X509_STORE_CTX *verification) {
  return (SSL *)X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx());
}

// -- The BIO pair of a connection -------------------------------------------------------------

/// What a connection reads from and writes to: the caller's bytes in, a growing buffer out.
///
/// `inbound` points into memory of the caller and is valid only during the call that set it;
/// `outbound` is owned here and freed whenever it has been drained.
typedef struct CBusbarSSL_Wire {
  const uint8_t *inbound;
  size_t inboundCount;
  // Where the inbound bytes stand in the sequence of records, each a header of 5 bytes whose last two
  // are the length of what follows.
  uint8_t header[5];
  uint8_t headerCount;
  uint16_t bodyLeft;
  uint8_t *outbound;
  size_t outboundCount;
  size_t outboundCapacity;
} CBusbarSSL_Wire;

/// Gives a connection a BIO over `wire`, for both directions. `wire` must outlive the connection.
/// 1 on success.
int CBusbarSSL_attachWire(SSL *ssl, CBusbarSSL_Wire *wire);

/// Whether part of a record was read and the rest has not come.
///
/// SSL_has_pending(3) says no when the header is in and the body has not begun.
static inline int CBusbarSSL_hasPartialRecord(const CBusbarSSL_Wire *wire) {
  return wire->headerCount > 0 || wire->bodyLeft > 0;
}

/// Frees the outbound buffer.
void CBusbarSSL_releaseOutbound(CBusbarSSL_Wire *wire);

// -- Certificates -----------------------------------------------------------------------------

/// Counts the URI names of a certificate's subject alternative names and copies out the first.
///
/// Returns -1 when the extension is there twice or cannot be read. At most `capacity` bytes of the
/// first name are copied to `text`; `*count` is its whole length.
int CBusbarSSL_uriNames(const X509 *certificate, uint8_t *text, size_t capacity, size_t *count);

/// Seconds from `unixSeconds` to the end of a certificate's validity; INT64_MIN when unreadable.
int64_t CBusbarSSL_secondsToExpiry(const X509 *certificate, int64_t unixSeconds);

/// Seconds from `unixSeconds` to the start of a certificate's validity; INT64_MAX when unreadable.
int64_t CBusbarSSL_secondsToStart(const X509 *certificate, int64_t unixSeconds);

/// An empty stack of certificates; NULL when out of memory.
STACK_OF(X509) *CBusbarSSL_newStack(void);

/// Pushes a new reference to a certificate on a stack. 1 on success.
int CBusbarSSL_push(STACK_OF(X509) *stack, X509 *certificate);

/// The number of certificates on a stack.
int CBusbarSSL_count(const STACK_OF(X509) *stack);

/// A certificate of a stack, which keeps the reference.
X509 *CBusbarSSL_at(const STACK_OF(X509) *stack, int index);

/// Frees a stack and its references.
void CBusbarSSL_freeStack(STACK_OF(X509) *stack);

#endif
