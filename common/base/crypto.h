// SPDX-License-Identifier: Apache-2.0
// The primitives of protocol.md, section 8, as plain functions over bytes: the one file that knows OpenSSL.
#ifndef TANIST_BASE_CRYPTO_H
#define TANIST_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPTO_KEY_SIZE 32 // X25519 private, public and shared, and AES-256
#define CRYPTO_TAG_SIZE 16
#define CRYPTO_HASH_SIZE 32

// Algorithms fetched and contexts made once: sealing and opening neither look anything up nor allocate. One
// serves any number of clusters, from one thread. NULL when out of memory, or when OpenSSL lacks an
// algorithm.
struct crypto;
struct crypto *crypto_new(void);
void crypto_free(struct crypto *); // NULL is allowed

// AES-256-GCM with the 96-bit nonce 0000 || seq. A pair of key and seq must never seal twice.
// `out` takes size + CRYPTO_TAG_SIZE bytes.
bool crypto_seal(struct crypto *, const unsigned char key[CRYPTO_KEY_SIZE], uint64_t seq,
                 const unsigned char *header, size_t header_size, const unsigned char *plain, size_t size,
                 unsigned char *out);
// `size` counts the tag. False: forged, or sealed with another key; `plain` is then all zeros.
bool crypto_open(struct crypto *, const unsigned char key[CRYPTO_KEY_SIZE], uint64_t seq,
                 const unsigned char *header, size_t header_size, const unsigned char *sealed, size_t size,
                 unsigned char *plain);

// HKDF-SHA256: extract with the salt, expand with the info. False when OpenSSL fails.
bool crypto_derive(struct crypto *, const unsigned char secret[CRYPTO_KEY_SIZE], const unsigned char *salt,
                   size_t salt_size, const unsigned char *info, size_t info_size,
                   unsigned char key[CRYPTO_KEY_SIZE]);

// X25519. 0, -EINVAL for a public key of low order (the secret would be known to all), or -EIO.
int crypto_agree(const unsigned char private_key[CRYPTO_KEY_SIZE],
                 const unsigned char public_key[CRYPTO_KEY_SIZE], unsigned char secret[CRYPTO_KEY_SIZE]);
int crypto_public(const unsigned char private_key[CRYPTO_KEY_SIZE],
                  unsigned char public_key[CRYPTO_KEY_SIZE]);

void crypto_hash(const void *bytes, size_t size, unsigned char out[CRYPTO_HASH_SIZE]); // SHA-256
void crypto_random(void *bytes, size_t size); // the kernel's; waits for its seed at boot
void crypto_wipe(void *bytes, size_t size);   // of what was secret

#endif
