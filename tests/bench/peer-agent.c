/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer-agent: signs with the first key of an ssh-agent, one call after the other (draft-miller-ssh-agent)
 *
 *   peer-agent [-t SECONDS] [-p PID,...] SOCKET
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "measure.h"

#define REQUEST_IDENTITIES 11
#define IDENTITIES_ANSWER 12
#define SIGN_REQUEST 13
#define SIGN_RESPONSE 14
#define PACKET_MAX 65536
#define MESSAGE_SIZE 32

static int connect_to(const char *path)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(sa.sun_path))
                errx(2, "too long a path");
        strcpy(sa.sun_path, path);
        if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
                err(1, "%s", path);
        return fd;
}

static void read_all(int fd, uint8_t *data, size_t len)
{
        for (ssize_t n; len > 0; data += n, len -= (size_t)n) {
                n = read(fd, data, len);
                if (n <= 0)
                        errx(1, "the agent closed the connection");
        }
}

static uint32_t get_u32(const uint8_t *p)
{
        uint32_t n;

        memcpy(&n, p, sizeof(n));
        return ntohl(n);
}

static size_t put_u32(uint8_t *p, uint32_t n)
{
        n = htonl(n);
        memcpy(p, &n, sizeof(n));
        return sizeof(n);
}

static size_t put_block(uint8_t *p, const void *data, size_t len)
{
        put_u32(p, (uint32_t)len);
        memcpy(p + 4, data, len);
        return 4 + len;
}

/* `packet` has 4 bytes of room for the length in front; the answer's body replaces it there. */
static size_t ask(int fd, uint8_t *packet, size_t len, uint8_t expected)
{
        put_u32(packet, (uint32_t)len);
        if (write(fd, packet, 4 + len) != (ssize_t)(4 + len))
                err(1, "write");
        read_all(fd, packet, 4);
        len = get_u32(packet);
        if (len < 1 || len > PACKET_MAX - 4)
                errx(1, "a packet of %zu bytes", len);
        read_all(fd, packet + 4, len);
        if (packet[4] != expected)
                errx(1, "the agent answers %u", packet[4]);
        return len;
}

int main(int argc, char **argv)
{
        static uint8_t packet[PACKET_MAX], key[4096];
        Measure m = {.seconds = 1};
        uint8_t message[MESSAGE_SIZE] = {0};
        size_t len, key_len;
        int fd;

        for (int c; (c = getopt(argc, argv, "t:p:")) != -1;)
                switch (c) {
                case 't': m.seconds = atof(optarg); break;
                case 'p': measure_pids(&m, optarg); break;
                default: return 2;
                }
        if (optind != argc - 1)
                errx(2, "which socket?");
        fd = connect_to(argv[optind]);
        packet[4] = REQUEST_IDENTITIES;
        len = ask(fd, packet, 1, IDENTITIES_ANSWER);
        if (len < 9 || get_u32(packet + 5) < 1 || (key_len = get_u32(packet + 9)) > sizeof(key) || key_len > len - 9)
                errx(1, "the agent has no key");
        memcpy(key, packet + 13, key_len);
        measure_begin(&m);
        while (measure_goes_on(&m)) {
                double begin = measure_now();

                memcpy(message, &m.count, sizeof(m.count));
                packet[4] = SIGN_REQUEST;
                len = 1 + put_block(packet + 5, key, key_len);
                len += put_block(packet + 4 + len, message, sizeof(message));
                len += put_u32(packet + 4 + len, 0);
                ask(fd, packet, len, SIGN_RESPONSE);
                measure_call(&m, begin, 1);
        }
        measure_end(&m);
        return 0;
}
