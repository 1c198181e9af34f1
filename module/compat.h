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
#include <linux/sched/coredump.h>
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

/* vma_thp_disabled(): since 6.12; with more to ask for since 6.18. */
#ifndef MMF_DISABLE_THP_COMPLETELY
#define vma_thp_disabled(vma, advice, ...)				\
	((advice) & VM_NOHUGEPAGE ||					\
	 test_bit(MMF_DISABLE_THP, &(vma)->vm_mm->flags))
#endif

/*
 * mm_get_unmapped_area(): since 6.10, in place of a pointer in the mm; since 7.0
 * without the mm, which could only be the current one.
 */
#ifndef PRIVHEAP_HAVE_UNMAPPED_AREA_OF_CURRENT
#ifdef PRIVHEAP_HAVE_MM_GET_UNMAPPED_AREA
#define mm_get_unmapped_area(...) mm_get_unmapped_area(current->mm, __VA_ARGS__)
#else
#define mm_get_unmapped_area(...) current->mm->get_unmapped_area(__VA_ARGS__)
#endif
#endif

/* folio_objcg(): had underscores while it was for the kernel's own memory only. */
#ifndef PRIVHEAP_HAVE_FOLIO_OBJCG
#define folio_objcg(folio) __folio_objcg(folio)
#endif

/* put_pages_list(): until 7.2. */
#ifndef PRIVHEAP_HAVE_PUT_PAGES_LIST
static inline void put_pages_list(struct list_head *pages)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru)
		put_page(page);
	INIT_LIST_HEAD(pages);
}
#endif

/*
 * Whether the owner of a program may look into its process: until 7.2 a matter of
 * the address space, then of what its tasks execute. Of tasks that are gone nobody
 * knows, so nobody may.
 */
#ifdef PRIVHEAP_HAVE_TASK_EXEC_STATE
#include <linux/pid.h>
#include <linux/sched/exec_state.h>
#include <linux/sched/signal.h>

static inline bool ph_dumpable(struct mm_struct *mm, struct pid *tgid)
{
	struct task_exec_state *state;
	struct task_struct *leader, *task;
	bool dumpable = false;

	rcu_read_lock();
	leader = pid_task(tgid, PIDTYPE_TGID);
	if (leader) {
		for_each_thread(leader, task) {
			if (READ_ONCE(task->mm) != mm)
				continue;
			state = rcu_dereference(task->exec_state);
			dumpable = state && READ_ONCE(state->dumpable) ==
					    TASK_DUMPABLE_OWNER;
			break;
		}
	}
	rcu_read_unlock();
	return dumpable;
}
#else
#include <linux/sched/coredump.h>

static inline bool ph_dumpable(struct mm_struct *mm, struct pid *tgid)
{
	return get_dumpable(mm) == SUID_DUMP_USER;
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
