/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module is written for the newest kernel it supports. This header, which
 * the build includes before everything else, gives older kernels what they
 * lack, under the kernel's own names. It is the only file that knows about
 * versions, and it knows them as features: module/Kbuild looks each one up in
 * the headers of the kernel and defines PRIVHEAP_HAVE_<FEATURE>.
 */
#ifndef _PRIVHEAP_COMPAT_H
#define _PRIVHEAP_COMPAT_H

#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

/* vm_flags_set(), vm_flags_clear(): since 6.3, when vm_flags became const. */
#ifndef PRIVHEAP_HAVE_VM_FLAGS_SET
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* mm_get_unmapped_area(): since 6.10, in place of a pointer in the mm. */
#ifndef PRIVHEAP_HAVE_MM_GET_UNMAPPED_AREA
static inline unsigned long
mm_get_unmapped_area(struct mm_struct *mm, struct file *file,
		     unsigned long addr, unsigned long len, unsigned long pgoff,
		     unsigned long flags)
{
	return mm->get_unmapped_area(file, addr, len, pgoff, flags);
}
#endif

/*
 * genl_info_dump(): since 6.7. What it returns for older kernels is not a struct
 * genl_info, but has its attrs.
 */
#ifndef PRIVHEAP_HAVE_GENL_INFO_DUMP
#include <net/genetlink.h>

static inline const struct genl_dumpit_info *
genl_info_dump(struct netlink_callback *cb)
{
	return genl_dumpit_info(cb);
}
#endif

/* get_file_active(): since 6.7. The caller knows that the file is not freed. */
#ifndef PRIVHEAP_HAVE_GET_FILE_ACTIVE
#include <linux/fs.h>

static inline struct file *get_file_active(struct file **filp)
{
	struct file *file = READ_ONCE(*filp);

	return file && atomic_long_inc_not_zero(&file->f_count) ? file : NULL;
}
#endif

/* shrinker_alloc(), shrinker_register(), shrinker_free(): since 6.7. */
#ifndef PRIVHEAP_HAVE_SHRINKER_ALLOC
static inline struct shrinker *shrinker_alloc(unsigned int flags,
					      const char *name)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (shrinker) {
		shrinker->flags = flags;
		shrinker->seeks = DEFAULT_SEEKS;
	}
	return shrinker;
}

/* One that cannot be registered for want of memory is as good as none. */
static inline void shrinker_register(struct shrinker *shrinker)
{
	if (register_shrinker(shrinker, "privheap"))
		pr_debug("no shrinker\n");
}

static inline void shrinker_free(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}
#endif

#endif /* _PRIVHEAP_COMPAT_H */
