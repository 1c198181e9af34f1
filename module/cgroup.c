// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control groups: memory that is charged to another cgroup than the program's.
 *
 * A heap may be put under a cgroup that its creator names. What it costs, pages and
 * bookkeeping, is allocated with that cgroup as the active one of the task. So it
 * is charged there by the kernel itself, whoever touches the page, and uncharged
 * when it is freed. Page tables are the program's and not the heap's.
 */
#include <linux/cgroup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>

#include "internal.h"

#ifdef CONFIG_MEMCG

/*
 * The file is looked up twice, here and by cgroup_get_from_fd(): it has to be the
 * same one, or the program could have its permissions checked on another.
 */
static int ph_cgroup_check(struct file *filp, struct cgroup *cgrp)
{
	if (file_inode(filp)->i_private != cgrp->kn)
		return -EBADF;
	return file_permission(filp, MAY_WRITE) ? -EACCES : 0;
}

static struct cgroup_subsys_state *ph_cgroup_memory(struct cgroup *cgrp)
{
	struct cgroup_subsys_state *css;

	css = cgroup_get_e_css(cgrp, &memory_cgrp_subsys);
	if (css->cgroup == cgrp)
		return css;
	/* An ancestor's: this one does not control memory. */
	css_put(css);
	return ERR_PTR(-EOPNOTSUPP);
}

/**
 * ph_cgroup_open - find the memory controller of a cgroup
 * @fd: descriptor of its directory, in the version 2 hierarchy. The caller must be
 *	allowed to write to the directory, as to whom the cgroup is delegated is
 *
 * Context: May sleep.
 * Return: its state, to be given back with ph_cgroup_close(); ERR_PTR(-EBADF) for
 * any other descriptor, ERR_PTR(-EACCES), or ERR_PTR(-EOPNOTSUPP) when the cgroup
 * has no memory controller.
 */
struct cgroup_subsys_state *ph_cgroup_open(int fd)
{
	struct cgroup_subsys_state *css;
	struct file *filp = fget(fd);
	struct cgroup *cgrp;
	int err;

	if (!filp)
		return ERR_PTR(-EBADF);
	cgrp = cgroup_get_from_fd(fd);
	if (IS_ERR(cgrp)) {
		css = ERR_PTR(-EBADF);
		goto out_fput;
	}
	err = ph_cgroup_check(filp, cgrp);
	css = err ? ERR_PTR(err) : ph_cgroup_memory(cgrp);
	cgroup_put(cgrp);
out_fput:
	fput(filp);
	return css;
}

/**
 * ph_cgroup_close - the mirror of ph_cgroup_open()
 * @css: from there
 */
void ph_cgroup_close(struct cgroup_subsys_state *css)
{
	css_put(css);
}

/**
 * ph_cgroup_id - the number of a cgroup, which no other one ever has
 * @css: its memory controller
 *
 * Context: Any.
 * Return: the number.
 */
u64 ph_cgroup_id(struct cgroup_subsys_state *css)
{
	return cgroup_id(css->cgroup);
}

/**
 * ph_cgroup_activate - charge what the task allocates to another cgroup
 * @css: the memory controller of that cgroup, or NULL for the task's own
 *
 * Return: the cgroup that was the active one, for ph_cgroup_restore().
 */
struct mem_cgroup *ph_cgroup_activate(struct cgroup_subsys_state *css)
{
	return set_active_memcg(css ? mem_cgroup_from_css(css) : NULL);
}

/**
 * ph_cgroup_restore - undo ph_cgroup_activate()
 * @outer: what that returned
 */
void ph_cgroup_restore(struct mem_cgroup *outer)
{
	set_active_memcg(outer);
}

#else /* CONFIG_MEMCG */

struct cgroup_subsys_state *ph_cgroup_open(int fd)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void ph_cgroup_close(struct cgroup_subsys_state *css)
{
}

u64 ph_cgroup_id(struct cgroup_subsys_state *css)
{
	return 0;
}

struct mem_cgroup *ph_cgroup_activate(struct cgroup_subsys_state *css)
{
	return NULL;
}

void ph_cgroup_restore(struct mem_cgroup *outer)
{
}

#endif
