/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/import.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/pem.h"
#include "link/link.h"

enum {
        FOUND_PKCS8 = 1,
        FOUND_TSS2 = 2,
};

/* Waits until fd is readable, but not beyond the deadline. */
static int wait_readable(int fd, uint64_t deadline)
{
        uint64_t now = clock_monotonic();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n;

        if (now >= deadline)
                return HF_E_TIMED_OUT;
        n = poll(&p, 1, (int)((deadline - now) / 1000 + 1));
        return n == 1 ? 0 : HF_E_TIMED_OUT;
}

/* One byte more than allowed is asked for, so that too long is told from just fits. */
static int read_file(int fd, uint8_t *space, size_t *ret_len)
{
        uint64_t deadline = clock_monotonic() + IMPORT_WAIT_MS * 1000ULL;
        size_t len = 0;
        ssize_t n;

        for (;;) {
                if (wait_readable(fd, deadline))
                        return HF_E_TIMED_OUT;
                n = read(fd, space + len, IMPORT_FILE_MAX + 1 - len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return HF_E_INVALID_FD;
                len += (size_t)n;
                if (len > IMPORT_FILE_MAX)
                        return HF_E_MESSAGE_TOO_LARGE;
                if (n == 0)
                        break;
        }
        *ret_len = len;
        return 0;
}

static int put_key(const PrivKey *key, Buffer *packet)
{
        uint8_t raw[PRIVKEY_RAW_MAX], spki[640];
        size_t raw_len, spki_len;
        int r;

        r = privkey_to_raw(key, raw, &raw_len);
        if (!r)
                r = privkey_public(key, spki, sizeof(spki), &spki_len);
        if (!r)
                r = wire_put_u8(packet, FOUND_PKCS8);
        if (!r)
                r = wire_put_u8(packet, (uint8_t)privkey_algorithm(key));
        if (!r)
                r = wire_put_block(packet, BYTES(raw, raw_len));
        secret_erase(raw, sizeof(raw));
        return r ? r : wire_put_block(packet, BYTES(spki, spki_len));
}

static int put_tss2(const Tss2Key *key, Buffer *packet)
{
        int r;

        if ((r = wire_put_u8(packet, FOUND_TSS2)) || (r = wire_put_u32(packet, key->parent)) ||
                        (r = wire_put_block(packet, BYTES(key->public, key->public_len))))
                return r;
        return wire_put_block(packet, BYTES(key->private, key->private_len));
}

static int answer(int fd, int result, const Imported *found)
{
        uint8_t space[IMPORT_PACKET_MAX];
        Buffer packet = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};
        int r;

        if (result < 0)
                result = HF_E_INTERNAL;
        r = wire_put_u32(&packet, (uint32_t)result);
        if (!r && !result)
                r = found->key ? put_key(found->key, &packet) : put_tss2(&found->tss2, &packet);
        if (!r)
                r = link_send(fd, buffer_bytes(&packet), NULL, 0);
        secret_erase(space, sizeof(space));
        return r;
}

static int receive_fds(int connection, LinkMessage *ret)
{
        uint8_t *buf = malloc(LINK_MESSAGE_MAX);
        int r = -ENOMEM;

        if (buf && !wait_readable(connection, clock_monotonic() + IMPORT_WAIT_MS * 1000ULL))
                r = link_receive(connection, 0, buf, ret);
        free(buf);
        return r;
}

void imported_deinit(Imported *i)
{
        i->key = privkey_free(i->key);
}

static int parse(Bytes file, Imported *ret)
{
        return pem_is(file, TSS2_KEY_KIND) ? tss2_key_parse(file, &ret->tss2) : privkey_from_pkcs8(file, &ret->key);
}

int import_serve(int connection, uint8_t *space)
{
        _cleanup_(imported_deinit) Imported found = {};
        LinkMessage m;
        size_t len = 0;
        int r;

        r = receive_fds(connection, &m);
        if (r)
                return r;
        if (m.n_fds != 2) {
                link_message_close(&m);
                return -EPROTO;
        }
        r = read_file(m.fds[0], space, &len);
        if (!r)
                r = parse(BYTES(space, len), &found);
        r = answer(m.fds[1], r, &found);
        link_message_close(&m);
        return r;
}

static int read_packet(int fd, uint8_t space[static IMPORT_PACKET_MAX], size_t *ret_len)
{
        struct iovec iov = {.iov_base = space, .iov_len = IMPORT_PACKET_MAX};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
        int type;
        socklen_t size = sizeof(type);
        ssize_t n;

        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
                return HF_E_INVALID_FD;
        if (wait_readable(fd, clock_monotonic() + IMPORT_WAIT_MS * 1000ULL))
                return HF_E_TIMED_OUT;
        n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n <= 0 || mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                return HF_E_INVALID_FD;
        *ret_len = (size_t)n;
        return 0;
}

static int take_pkcs8(WireReader *reader, Imported *ret)
{
        KeyAlgorithm algorithm = wire_get_u8(reader);
        Bytes raw = wire_get_block(reader, PRIVKEY_RAW_MAX);
        Bytes spki = wire_get_block(reader, 640);

        return wire_done(reader) ? HF_E_INVALID_FD : privkey_from_raw(algorithm, raw, spki, &ret->key);
}

static int take_tss2(WireReader *reader, Tss2Key *ret)
{
        uint32_t parent = wire_get_u32(reader);
        Bytes public = wire_get_block(reader, TSS2_PART_MAX), private = wire_get_block(reader, TSS2_PART_MAX);

        if (wire_done(reader) || public.len == 0 || private.len == 0)
                return HF_E_INVALID_FD;
        ret->parent = parent;
        ret->public_len = public.len;
        ret->private_len = private.len;
        memcpy(ret->public, public.data, public.len);
        memcpy(ret->private, private.data, private.len);
        return 0;
}

int import_receive(int fd, Imported *ret)
{
        uint8_t space[IMPORT_PACKET_MAX], found;
        WireReader reader;
        uint32_t result;
        size_t len;
        int r;

        r = read_packet(fd, space, &len);
        if (r)
                return r;
        reader = wire_reader(BYTES(space, len));
        result = wire_get_u32(&reader);
        if (!reader.failed && result > 0 && result < _HF_E_MAX && reader.p == reader.end)
                return (int)result;
        found = wire_get_u8(&reader);
        if (reader.failed || result != 0 || (found != FOUND_PKCS8 && found != FOUND_TSS2))
                r = HF_E_INVALID_FD;
        else if (found == FOUND_PKCS8)
                r = take_pkcs8(&reader, ret);
        else
                r = take_tss2(&reader, &ret->tss2);
        secret_erase(space, sizeof(space));
        return r;
}
