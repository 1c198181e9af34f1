// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device file: open, release, which heaps it has, and the way of a call from
 * the ioctl to its handler.
 *
 * All that calls have in common happens here, once: whose file it is, how long
 * the structure is, which flags there are. The calls themselves are in ioctl.c.
 */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "internal.h"
#include "trace.h"

/**
 * ph_answer_fault_in - bring the page of an answer in that ph_answer() missed
 * @answer: where the answer goes
 *
 * Context: May sleep; takes mmap_lock.
 * Return: 0 when it is worth trying again, -EFAULT when there is no such page,
 * -EINTR when the task is being killed.
 */
int ph_answer_fault_in(void __user *answer)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	cond_resched();
	return fault_in_safe_writeable(answer, sizeof(u64)) ? -EFAULT : 0;
}

/**
 * ph_call_answer - copy the whole structure of a call back to the caller
 * @call: the call
 *
 * Context: May sleep and fault.
 * Return: 0 or -EFAULT.
 */
int ph_call_answer(struct ph_call *call)
{
	size_t len = min_t(size_t, call->usize, sizeof(call->arg));

	return copy_to_user(call->uarg, &call->arg, len) ? -EFAULT : 0;
}

/**
 * ph_file_publish - let calls find a heap
 * @file: the open file, in whose table the heap's place is reserved
 * @heap: the heap; its creator's reference is the table's from here on
 */
void ph_file_publish(struct ph_file *file, struct ph_heap *heap)
{
	u32 index = heap->id;

	/* The entry is reserved, so storing needs no memory and cannot fail. */
	xa_lock(&file->heaps);
	__xa_store(&file->heaps, index, heap, GFP_KERNEL);
	if (index < PH_FIRST_HEAPS)
		rcu_assign_pointer(file->first_heaps[index], heap);
	trace_privheap_heap_create(heap);
	xa_unlock(&file->heaps);
}

/**
 * ph_file_withdraw - let no more calls find a heap
 * @file: the open file
 * @id: of the heap
 *
 * Return: the heap, with the reference that the table had; or NULL.
 */
struct ph_heap *ph_file_withdraw(struct ph_file *file, u64 id)
{
	struct ph_heap *heap;
	u32 index = id;

	xa_lock(&file->heaps);
	heap = ph_file_find(file, index);
	if (heap && heap->id == id) {
		__xa_erase(&file->heaps, index);
		if (index < PH_FIRST_HEAPS)
			RCU_INIT_POINTER(file->first_heaps[index], NULL);
		trace_privheap_heap_destroy(heap);
	} else {
		heap = NULL;
	}
	xa_unlock(&file->heaps);
	if (heap)
		ph_event_heap(PRIVHEAP_EVENT_HEAP_DESTROYED, heap);
	return heap;
}

/*
 * Every structure starts with the first two. Those of calls that answer ENXIO go on
 * with the heap, and those of calls on a block with the block.
 */
struct ph_call_head {
	u32 size;
	u32 flags;
	u64 heap;
	u64 addr;
};

/*
 * Reads a structure that is exactly as long as the module knows it. Word by word,
 * and with a length that the compiler knows, that takes a sixth of what
 * copy_struct_from_user() and the checks of a copy of variable length do, which is
 * a tenth of a whole call.
 */
static __always_inline bool ph_call_read_words(struct ph_call *call, size_t size)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	u64 __user *from = call->uarg;
	u64 *to = (u64 *)&call->arg;
	unsigned int i;

	if (!user_read_access_begin(from, size))
		return false;
	unsafe_get_user(to[0], from, err_access_end);
	if (head->size != size)
		goto err_access_end;
#pragma GCC unroll 8
	for (i = 1; i < size / sizeof(*to); i++)
		unsafe_get_user(to[i], from + i, err_access_end);
	user_read_access_end();
	call->usize = size;
	return true;

err_access_end:
	user_read_access_end();
	return false;
}

/* The structures of the calls that programs make most; others go the long way. */
static __always_inline bool ph_call_read_short(struct ph_call *call,
					       const struct ph_ioctl *ioctl)
{
	switch (ioctl->size) {
	case sizeof(struct privheap_free):
		return ph_call_read_words(call, sizeof(struct privheap_free));
	case sizeof(struct privheap_size):
		return ph_call_read_words(call, sizeof(struct privheap_size));
	case sizeof(struct privheap_alloc):	/* and realloc */
		return ph_call_read_words(call, sizeof(struct privheap_alloc));
	default:
		return false;
	}
}

/* Reads a structure of any length, and finds out what is wrong with a bad one. */
static noinline int ph_call_read_struct(struct ph_call *call,
					const struct ph_ioctl *ioctl)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	int err;

	if (get_user(call->usize, (u32 __user *)call->uarg))
		return -EFAULT;
	if (call->usize < ioctl->min_size)
		return -EINVAL;
	if (call->usize > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&call->arg, ioctl->size, call->uarg,
				    call->usize);
	/* The caller may have changed it meanwhile; what counts is the first. */
	head->size = call->usize;
	call->usize = min_t(u32, call->usize, ioctl->size);
	return err;
}

static int ph_call_read(struct ph_call *call, const struct ph_ioctl *ioctl)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	int err;

	if (!ph_call_read_short(call, ioctl)) {
		err = ph_call_read_struct(call, ioctl);
		if (err)
			return err;
	}
	return head->flags & ~ioctl->flags ? -EOPNOTSUPP : 0;
}

/*
 * Tells of calls that no correct program makes: on a heap that it does not have,
 * on what is no block, or in another process.
 */
static noinline int ph_call_refuse(struct ph_call *call, u32 nr, int err)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	struct ph_misuse misuse = { .call = nr, .err = err };
	struct ph_heap *heap = NULL;

	if (err != -EPERM)
		misuse.id = head->heap;
	if (err == -ENOENT) {
		misuse.addr = head->addr;
		heap = ph_heap_get(call->file, head->heap);
	}
	ph_event_misuse(call->file->process, heap, &misuse);
	if (heap)
		ph_heap_put(heap);
	return err;
}

static bool ph_call_is_on_block(u32 nr)
{
	return nr == _IOC_NR(PRIVHEAP_IOC_FREE) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_GUARD_FREE) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_REALLOC) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_SIZE);
}

static long ph_file_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	unsigned int nr = _IOC_NR(cmd);
	struct ph_call call __uninitialized;	/* ph_call_read() fills it */
	int err;

	call.file = filp->private_data;
	call.uarg = (void __user *)arg;
	if (call.file->mm != current->mm)
		return ph_call_refuse(&call, nr, -EPERM);
	if (nr >= ARRAY_SIZE(ph_ioctls) || cmd != _IO(PRIVHEAP_IOC_TYPE, nr))
		return -ENOTTY;
	nr = array_index_nospec(nr, ARRAY_SIZE(ph_ioctls));
	if (!ph_ioctls[nr].handler)	/* numbers that are not given yet */
		return -ENOTTY;
	err = ph_call_read(&call, &ph_ioctls[nr]) ?: ph_ioctls[nr].handler(&call);
	if (unlikely(err == -ENXIO || (err == -ENOENT && ph_call_is_on_block(nr))))
		return ph_call_refuse(&call, nr, err);
	return err;
}

static int ph_file_open(struct inode *inode, struct file *filp)
{
	struct ph_file *file;
	int err;

	if (!current->mm)
		return -ENODEV;
	file = kzalloc(sizeof(*file), PH_GFP_META);
	if (!file)
		return -ENOMEM;
	err = ph_region_mount();
	if (err)
		goto err_free;
	file->process = ph_process_get();
	if (IS_ERR(file->process)) {
		err = PTR_ERR(file->process);
		goto err_unmount;
	}
	xa_init_flags(&file->heaps, XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT);
	mmgrab(current->mm);
	file->mm = current->mm;
	filp->private_data = file;
	return 0;

err_unmount:
	ph_region_unmount();
err_free:
	kfree(file);
	return err;
}

static int ph_file_release(struct inode *inode, struct file *filp)
{
	struct ph_file *file = filp->private_data;
	struct ph_heap *heap;
	unsigned long index;

	xa_for_each(&file->heaps, index, heap)
		ph_heap_destroy(NULL, ph_file_withdraw(file, heap->id));
	ph_retired_end(file->process);
	xa_destroy(&file->heaps);
	ph_limit_put(&file->process->limit);
	ph_region_unmount();
	mmdrop(file->mm);
	kfree(file);
	return 0;
}

/* In /proc/PID/fdinfo: what the heaps of the file amount to. */
static void ph_file_show_fdinfo(struct seq_file *m, struct file *filp)
{
	struct ph_file *file = filp->private_data;
	unsigned long nr = 0, reserved = 0, committed = 0, resident = 0;
	struct ph_heap *heap;
	unsigned long index;

	rcu_read_lock();
	xa_for_each(&file->heaps, index, heap) {
		nr++;
		reserved += READ_ONCE(heap->reserved_pages);
		committed += atomic_long_read(&heap->limit.usage_pages);
		resident += atomic_long_read(&heap->nr_resident);
	}
	rcu_read_unlock();
	seq_printf(m, "privheap-heaps:\t%lu\n", nr);
	seq_printf(m, "privheap-reserved:\t%lu kB\n",
		   reserved << (PAGE_SHIFT - 10));
	seq_printf(m, "privheap-committed:\t%lu kB\n",
		   committed << (PAGE_SHIFT - 10));
	seq_printf(m, "privheap-resident:\t%lu kB\n",
		   resident << (PAGE_SHIFT - 10));
}

const struct file_operations ph_file_fops = {
	.owner		= THIS_MODULE,
	.open		= ph_file_open,
	.release	= ph_file_release,
	.unlocked_ioctl	= ph_file_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
	.show_fdinfo	= ph_file_show_fdinfo,
};
