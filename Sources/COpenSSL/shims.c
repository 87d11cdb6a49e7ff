// SPDX-License-Identifier: Apache-2.0

#include "copenssl.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

// -- The BIO over a CBusbarSSL_Wire -----------------------------------------------------------

static void followRecords(CBusbarSSL_Wire *wire, const uint8_t *data, size_t count) {
  while (count > 0) {
    size_t step;
    if (wire->bodyLeft > 0) {
      step = wire->bodyLeft < count ? wire->bodyLeft : count;
      wire->bodyLeft -= (uint16_t)step;
    } else {
      size_t missing = sizeof(wire->header) - wire->headerCount;
      step = missing < count ? missing : count;
      memcpy(wire->header + wire->headerCount, data, step);
      wire->headerCount += (uint8_t)step;
      if (wire->headerCount == sizeof(wire->header)) {
        wire->bodyLeft = (uint16_t)(wire->header[3] << 8 | wire->header[4]);
        wire->headerCount = 0;
      }
    }
    data += step;
    count -= step;
  }
}

static int readInbound(BIO *bio, char *data, size_t capacity, size_t *count) {
  CBusbarSSL_Wire *wire = (CBusbarSSL_Wire *)BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (wire->inboundCount == 0) {
    // Nothing now is not the end: more bytes come with a later call.
    BIO_set_retry_read(bio);
    *count = 0;
    return 0;
  }
  size_t taken = wire->inboundCount < capacity ? wire->inboundCount : capacity;
  memcpy(data, wire->inbound, taken);
  followRecords(wire, wire->inbound, taken);
  wire->inbound += taken;
  wire->inboundCount -= taken;
  *count = taken;
  return 1;
}

static int growOutbound(CBusbarSSL_Wire *wire, size_t extra) {
  if (extra > SIZE_MAX / 4 || wire->outboundCount > SIZE_MAX / 4) return 0;
  size_t needed = wire->outboundCount + extra;
  if (needed <= wire->outboundCapacity) return 1;
  size_t capacity = wire->outboundCapacity == 0 ? 1024 : wire->outboundCapacity;
  while (capacity < needed) capacity *= 2;
  uint8_t *grown = (uint8_t *)realloc(wire->outbound, capacity);
  if (grown == NULL) return 0;
  wire->outbound = grown;
  wire->outboundCapacity = capacity;
  return 1;
}

static int writeOutbound(BIO *bio, const char *data, size_t count, size_t *written) {
  CBusbarSSL_Wire *wire = (CBusbarSSL_Wire *)BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  *written = 0;
  if (!growOutbound(wire, count)) return 0;
  memcpy(wire->outbound + wire->outboundCount, data, count);
  wire->outboundCount += count;
  *written = count;
  return 1;
}

static long control(BIO *bio, int command, long number, void *pointer) {
  CBusbarSSL_Wire *wire = (CBusbarSSL_Wire *)BIO_get_data(bio);
  switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_PENDING: return (long)wire->inboundCount;
    case BIO_CTRL_WPENDING: return (long)wire->outboundCount;
    default: return 0;
  }
}

// One table for the process, made on first use and never freed.
static CRYPTO_ONCE methodOnce = CRYPTO_ONCE_STATIC_INIT;
static BIO_METHOD *method = NULL;

static void makeMethod(void) {
  BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "busbar wire");
  if (made == NULL) return;
  if (BIO_meth_set_read_ex(made, readInbound) != 1 ||
      BIO_meth_set_write_ex(made, writeOutbound) != 1 || BIO_meth_set_ctrl(made, control) != 1) {
    BIO_meth_free(made);
    return;
  }
  method = made;
}

int CBusbarSSL_attachWire(SSL *ssl, CBusbarSSL_Wire *wire) {
  if (CRYPTO_THREAD_run_once(&methodOnce, makeMethod) != 1 || method == NULL) return 0;
  BIO *bio = BIO_new(method);
  if (bio == NULL) return 0;
  BIO_set_data(bio, wire);
  BIO_set_init(bio, 1);
  // The connection takes the one reference for both directions.
  SSL_set_bio(ssl, bio, bio);
  return 1;
}

void CBusbarSSL_releaseOutbound(CBusbarSSL_Wire *wire) {
  free(wire->outbound);
  wire->outbound = NULL;
  wire->outboundCount = 0;
  wire->outboundCapacity = 0;
}

// -- Certificates -----------------------------------------------------------------------------

int CBusbarSSL_uriNames(const X509 *certificate, uint8_t *text, size_t capacity, size_t *count) {
  *count = 0;
  int critical = 0;
  GENERAL_NAMES *names =
      (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
  // -1: no such extension. Anything else without names is one that is repeated or unreadable.
  if (names == NULL) return critical == -1 ? 0 : -1;
  int found = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    if (found++ > 0) continue;
    const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
    size_t length = (size_t)ASN1_STRING_length(uri);
    memcpy(text, ASN1_STRING_get0_data(uri), length < capacity ? length : capacity);
    *count = length;
  }
  GENERAL_NAMES_free(names);
  return found;
}

static int secondsBetween(int64_t unixSeconds, const ASN1_TIME *time, int64_t *seconds) {
  ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t)unixSeconds);
  if (now == NULL) return 0;
  int days = 0;
  int rest = 0;
  int good = ASN1_TIME_diff(&days, &rest, now, time);
  ASN1_TIME_free(now);
  if (good != 1) return 0;
  *seconds = (int64_t)days * 86400 + rest;
  return 1;
}

int64_t CBusbarSSL_secondsToExpiry(const X509 *certificate, int64_t unixSeconds) {
  int64_t seconds = 0;
  if (!secondsBetween(unixSeconds, X509_get0_notAfter(certificate), &seconds)) return INT64_MIN;
  return seconds;
}

int64_t CBusbarSSL_secondsToStart(const X509 *certificate, int64_t unixSeconds) {
  int64_t seconds = 0;
  if (!secondsBetween(unixSeconds, X509_get0_notBefore(certificate), &seconds)) return INT64_MAX;
  return seconds;
}

STACK_OF(X509) *CBusbarSSL_newStack(void) { return sk_X509_new_null(); }

int CBusbarSSL_push(STACK_OF(X509) *stack, X509 *certificate) {
  if (X509_up_ref(certificate) != 1) return 0;
  if (sk_X509_push(stack, certificate) > 0) return 1;
  X509_free(certificate);
  return 0;
}

int CBusbarSSL_count(const STACK_OF(X509) *stack) { return sk_X509_num(stack); }

X509 *CBusbarSSL_at(const STACK_OF(X509) *stack, int index) { return sk_X509_value(stack, index); }

void CBusbarSSL_freeStack(STACK_OF(X509) *stack) { sk_X509_pop_free(stack, X509_free); }
