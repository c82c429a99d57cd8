/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Roads to the daemon: opens the direct socket as a peer-to-peer D-Bus connection, or the system bus. */
#include "libclient/road.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "dbus/names.h"

static void bus_unrefp(sd_bus **b)
{
        sd_bus_close_unref(*b);
}

static int connect_socket(const char *path, int *ret_fd)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        size_t len = strlen(path);
        _cleanup_close_ int fd = -EBADF;

        if (len >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, len + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                if (errno != EINTR)
                        return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int open_direct(const char *path, sd_bus **ret)
{
        _cleanup_(bus_unrefp) sd_bus *bus = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = connect_socket(path, &fd);
        if (r < 0)
                return r;
        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0)
                return r;
        TAKE_FD(fd);
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

int road_open(RoadKind kind, const char *path, sd_bus **ret, RoadKind *ret_kind)
{
        int r;

        if (kind != ROAD_BUS) {
                if (!path)
                        path = secure_getenv(HF_SOCKET_ENV);
                r = open_direct(path ? path : HF_SOCKET_PATH, ret);
                if (r == 0)
                        *ret_kind = ROAD_DIRECT;
                if (r != -ENOENT || kind == ROAD_DIRECT)
                        return r;
        }
        r = sd_bus_open_system(ret);
        if (r < 0)
                return r;
        *ret_kind = ROAD_BUS;
        return 0;
}
