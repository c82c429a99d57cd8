/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/output.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "base/error.h"

static bool is_of_the_kernel(int fd)
{
        static const long kinds[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
                        DEBUGFS_MAGIC, TRACEFS_MAGIC, SECURITYFS_MAGIC, BPF_FS_MAGIC};
        struct statfs st;

        if (fstatfs(fd, &st) < 0)
                return true;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if ((long)st.f_type == kinds[i])
                        return true;
        return false;
}

int output_check(int fd, bool pipes)
{
        int flags = fcntl(fd, F_GETFL);
        struct stat st;

        if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY || fstat(fd, &st) < 0)
                return HF_E_INVALID_FD;
        if (S_ISREG(st.st_mode))
                return is_of_the_kernel(fd) ? HF_E_INVALID_FD : 0;
        return pipes && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) ? 0 : HF_E_INVALID_FD;
}
