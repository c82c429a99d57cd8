/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The other end, for tests
 *
 * Starts the real holdfast-signer with a socket, a credential and a machine-id in a directory of its own, and
 * speaks to it as holdfastd would. Every call either works or fails the test that made it.
 */
#include <sys/types.h>

#include "crypto/attributes.h"
#include "link/signer.h"

#define PEER_CREDENTIAL "the credential of this one device" /* at least 32 bytes */

typedef struct Peer {
        char dir[64];
        char socket_path[96];
        pid_t pid;
        int fd; /* connection, or -EBADF */
        uint64_t job;
        uint64_t seq; /* of the next use */
        Uuid store_id;
        Buffer slots; /* the slots file as holdfastd would have it on disk */
        uint8_t *packet;
        const char *extra;    /* one more option of the signer, or NULL */
        int no_secret_memory; /* a kernel without memfd_secret */
        uid_t uid;            /* the uid the signer expects */
        int has_tpm_socket;   /* hands over a second socket */
        char tpm_path[96];    /* where holdfast-tpm connects */
        uid_t tpm_uid;        /* and who may */
} Peer;

/* A directory with credential and machine-id, no signer yet. */
void peer_setup(Peer *p);
void peer_start(Peer *p);
void peer_connect(Peer *p);
/* SIGKILL, waits. */
void peer_kill(Peer *p);
void peer_teardown(Peer *p);
/* True while the signer runs. */
int peer_alive(Peer *p);

/* Sends without waiting; the number of the job. */
uint64_t peer_send(Peer *p, uint16_t type, Bytes body, const int *fds, size_t n_fds);
/* The next reply: its result; *ret_body is valid until the next call. */
int peer_receive(Peer *p, uint64_t *ret_job, Bytes *ret_body);
/* Both. -ECONNRESET when the signer closed the connection. */
int peer_call(Peer *p, uint16_t type, Bytes body, const int *fds, size_t n_fds, Bytes *ret_body);

/* INIT with the credential, unattended. */
void peer_init(Peer *p, SignerOpened *ret);
int peer_unlock(Peer *p, int attended, int secret_fd, SignerOpened *ret);
int peer_hello(Peer *p, SignerHello *ret);

typedef struct PeerKey {
        KeyAttributes attributes;
        uint8_t encoded[KEY_ATTRIBUTES_MAX];
        size_t encoded_len;
        uint8_t wrapped[KEY_WRAPPED_MAX];
        size_t wrapped_len;
} PeerKey;

void peer_key_init(PeerKey *k, KeyAlgorithm algorithm, KeyPurpose purpose, uint32_t flags);
void peer_key_encode(PeerKey *k);
int peer_generate(Peer *p, PeerKey *k);
uint64_t peer_send_generate(Peer *p, const PeerKey *k);
/* Starts `holdfast-signer --import` with one end of a connection as descriptor 3. */
pid_t peer_start_importer(int connection);
/* The whole road of an import: importer, signer, and what came out in k. */
int peer_import(Peer *p, int file, PeerKey *k, uint8_t usual);
/* An operation on k with the next seq. */
SignerOperation peer_operation(Peer *p, const PeerKey *k, SignerOp op, Scheme scheme, Bytes payload);
int peer_operate(Peer *p, const SignerOperation *op, Bytes *ret_result);
uint64_t peer_send_operation(Peer *p, const SignerOperation *op);
int peer_checkpoint(Peer *p, uint64_t size, Bytes *ret_note);
