/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/nonce.h"

#include <ctype.h>
#include <string.h>

#define USAGE "Give a nonce, 1 to 64 bytes that nobody could foresee: --nonce HEX, or --nonce-file FILE."

int nonce_read(Cli *cli, uint8_t ret[static ATTEST_NONCE_MAX], size_t *ret_len)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(ATTEST_NONCE_MAX + 1);
        char hex[2 * ATTEST_NONCE_MAX + 1];
        const char *text = cli->options.nonce;
        size_t len = text ? strlen(text) : 0;
        int r;

        if (!text == !cli->options.nonce_file)
                return cli_usage(cli, USAGE);
        if (!text) {
                r = input_read(cli, cli->options.nonce_file, ATTEST_NONCE_MAX, &b);
                if (r)
                        return r;
                if (b.len == 0)
                        return cli_usage(cli, USAGE);
                memcpy(ret, b.data, b.len);
                *ret_len = b.len;
                return 0;
        }
        if (len == 0 || len % 2 || len >= sizeof(hex))
                return cli_usage(cli, USAGE);
        for (size_t i = 0; i <= len; i++)
                hex[i] = (char)tolower((unsigned char)text[i]);
        if (hex_decode(hex, len, ret, len / 2))
                return cli_usage(cli, USAGE);
        *ret_len = len / 2;
        return 0;
}
