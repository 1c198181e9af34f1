// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions: reservations of address space in the program that owns the heap.
 *
 * Each heap has a pseudo file, and each region is a shared mapping of a part of
 * it, as is its page map if it has one (pagemap.c), made by the module itself inside
 * a call. The mapping is sealed: it cannot be grown, moved, split, re-protected or
 * inherited. The program may unmap a whole region; the heap is dead then.
 *
 * This file knows VMAs and the pseudo file. What is inside a region, pages and
 * blocks, it leaves to fault.c and heap_block.c.
 */
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>

#include "internal.h"

#define PH_FS_MAGIC	0x70686561	/* "phea" */

static struct vfsmount *ph_mount;
static int ph_mount_count;

/*
 * What /proc/PID/maps shows. A name that is made when somebody asks for it costs those
 * nothing who make heaps, and changes when a retired heap becomes another one.
 */
static char *ph_dentry_name(struct dentry *dentry, char *buffer, int length)
{
	u64 id = PH_HEAP_NO_ID;
	struct ph_heap *heap;
	char name[64];
	int n;

	rcu_read_lock();
	heap = READ_ONCE(d_inode(dentry)->i_private);
	if (heap)
		id = READ_ONCE(heap->id);
	rcu_read_unlock();
	if (id == PH_HEAP_NO_ID)
		n = scnprintf(name, sizeof(name), "/privheap (unused)") + 1;
	else
		n = scnprintf(name, sizeof(name), "/privheap:%llx (deleted)", id) + 1;
	if (n > length)
		return ERR_PTR(-ENAMETOOLONG);
	return memcpy(buffer + length - n, name, n);
}

static const struct dentry_operations ph_dentry_ops = {
	.d_dname	= ph_dentry_name,
};

static int ph_fs_init_context(struct fs_context *fc)
{
	struct pseudo_fs_context *context = init_pseudo(fc, PH_FS_MAGIC);

	if (!context)
		return -ENOMEM;
	context->dops = &ph_dentry_ops;
	/* Newer kernels set it for all of these file systems; heaps may hold code. */
	fc->s_iflags &= ~SB_I_NOEXEC;
	return 0;
}

static struct file_system_type ph_fs_type = {
	.name			= "privheap",
	.owner			= THIS_MODULE,
	.init_fs_context	= ph_fs_init_context,
	.kill_sb		= kill_anon_super,
};

/**
 * ph_region_get - take a reference to a region
 * @region: that the caller knows to have one
 */
void ph_region_get(struct ph_region *region)
{
	refcount_inc(&region->refs);
}

/**
 * ph_region_put - drop a reference to a region
 * @region: gone with the last one
 */
void ph_region_put(struct ph_region *region)
{
	if (!refcount_dec_and_test(&region->refs))
		return;
	WARN_ON_ONCE(!xa_empty(&region->chunks));
	ph_heap_put(region->heap);
	kfree(region);
}

/*
 * A VMA of a region comes into being inside mremap(), which ph_vma_mremap()
 * will make fail, or at fork(), when the program undid VM_DONTCOPY with
 * madvise(). A child gets the VMA, but no page: some kernels have copied its page
 * table by now, others are about to.
 */
static void ph_vma_open(struct vm_area_struct *vma)
{
	struct ph_region *region = vma->vm_private_data;
	struct ph_heap *heap = region->heap;

	ph_region_get(region);
	if (vma->vm_mm == heap->mm) {
		mutex_lock(&heap->lock);
		region->nr_vmas++;
		mutex_unlock(&heap->lock);
		return;
	}
	if (vma->vm_flags & VM_WIPEONFORK)	/* a child's own mremap() */
		return;
	vm_flags_set(vma, VM_WIPEONFORK);
	unmap_mapping_pages(vma->vm_file->f_mapping, region->pgoff,
			    region->blocks.nr_pages, true);
}

static void ph_vma_close(struct vm_area_struct *vma)
{
	struct ph_region *region = vma->vm_private_data;
	struct ph_heap *heap = region->heap;

	if (vma->vm_mm == heap->mm)
		ph_heap_region_unmapped(heap, region);
	ph_region_put(region);
}

/**
 * ph_vma_may_split - refuse to split a mapping
 * @vma: of a region or a page map
 * @addr: where
 *
 * Return: -EINVAL.
 */
int ph_vma_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

/**
 * ph_vma_mremap - refuse to move a mapping
 * @vma: of a region or a page map, at its new place
 *
 * Return: -EINVAL.
 */
int ph_vma_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

/**
 * ph_vma_mprotect - refuse to protect a mapping
 * @vma: of a region or a page map
 * @start: from here on
 * @end: up to here
 * @newflags: with these flags
 *
 * Return: -EACCES.
 */
int ph_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
		    unsigned long end, unsigned long newflags)
{
	return -EACCES;
}

static vm_fault_t ph_vma_fault(struct vm_fault *vmf)
{
	struct ph_region *region = vmf->vma->vm_private_data;

	if (unlikely(vmf->vma->vm_mm != region->heap->mm))
		return VM_FAULT_SIGSEGV;
	/* Some kernels between 6.6 and 6.12 let it leave marks where pages are to be. */
	if (unlikely(userfaultfd_wp(vmf->vma)))
		return VM_FAULT_SIGBUS;
	return ph_fault_serve(region, vmf);
}

/*
 * Maps nothing, but has to be there: without it the kernel retries each fault
 * of a file mapping under mmap_lock instead of the VMA's own lock.
 */
static vm_fault_t ph_vma_map_pages(struct vm_fault *vmf, pgoff_t start,
				   pgoff_t end)
{
	return 0;
}

static const struct vm_operations_struct ph_vma_ops = {
	.open		= ph_vma_open,
	.close		= ph_vma_close,
	.may_split	= ph_vma_may_split,
	.mremap		= ph_vma_mremap,
	.mprotect	= ph_vma_mprotect,
	.fault		= ph_vma_fault,
	.map_pages	= ph_vma_map_pages,
};

/*
 * The file of a heap is in no descriptor table, but remap_file_pages() finds it
 * through a VMA, perhaps a forked one that outlives the heap. Only ph_region_map()
 * may map it.
 */
static struct ph_region *ph_region_being_mapped(struct file *filp)
{
	struct ph_region *region = NULL;
	struct ph_heap *heap;

	rcu_read_lock();
	heap = READ_ONCE(filp->private_data);
	if (heap && READ_ONCE(heap->mapper) == current)
		region = heap->mapping;
	rcu_read_unlock();
	return region;
}

static int ph_region_file_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct ph_region *region = ph_region_being_mapped(filp);

	if (!region)
		return -EPERM;
	if (vma->vm_pgoff != region->pgoff)
		return ph_pagemap_mmap(region, vma);

	/*
	 * VM_MIXEDMAP is for vm_insert_page(), which may set it itself only
	 * under mmap_lock held for writing. The kernel does not count references
	 * of huge pages in such mappings, so where these may be faults return what
	 * is to be mapped. Where the pages are secret there are none to be had from
	 * the mapping, and advice cannot undo that.
	 */
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND);
	if (ph_heap_is_secret(region->heap))
		vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTDUMP);
	else if (!region->heap->huge)
		vm_flags_set(vma, VM_MIXEDMAP);
	/* A personality with READ_IMPLIES_EXEC has asked for VM_EXEC, too. */
	if (!(region->heap->flags & PRIVHEAP_CREATE_F_EXEC))
		vm_flags_clear(vma, VM_EXEC | VM_MAYEXEC);
	ph_region_get(region);
	region->nr_vmas = 1;
	vma->vm_private_data = region;
	vma->vm_ops = &ph_vma_ops;
	return 0;
}

static unsigned long
ph_region_file_unmapped_area(struct file *filp, unsigned long addr,
			     unsigned long len, unsigned long pgoff,
			     unsigned long flags)
{
	struct ph_region *region = ph_region_being_mapped(filp);
	unsigned long align = PH_REGION_ALIGN;
	unsigned long slack;

	/* Not ph_region_map(), but mremap() or remap_file_pages(). */
	if (!region || flags & MAP_FIXED)
		return -EINVAL;
	if (region->heap->huge && len >= PH_CHUNK_BYTES)
		align = PH_CHUNK_BYTES;
	slack = align - PAGE_SIZE;
	if (len + slack < len)
		return -ENOMEM;
	addr = mm_get_unmapped_area(NULL, 0, len + slack, 0, flags);
	return IS_ERR_VALUE(addr) ? addr : ALIGN(addr, align);
}

static const struct file_operations ph_region_file_fops = {
	.owner			= THIS_MODULE,
	.mmap			= ph_region_file_mmap,
	.get_unmapped_area	= ph_region_file_unmapped_area,
};

static struct file *ph_region_file_create(struct ph_heap *heap)
{
	struct inode *inode;
	struct file *filp;

	inode = alloc_anon_inode(ph_mount->mnt_sb);
	if (IS_ERR(inode))
		return ERR_CAST(inode);
	clear_nlink(inode);	/* core dumps treat it like shared memory */
	inode->i_flags |= S_NOCMTIME;
	i_size_write(inode, MAX_LFS_FILESIZE);	/* of huge pages, or they are not mapped */
	/* fput() will drop a reference that alloc_file_pseudo() does not take. */
	__module_get(THIS_MODULE);
	filp = alloc_file_pseudo(inode, ph_mount, "privheap", O_RDWR,
				 &ph_region_file_fops);
	if (IS_ERR(filp)) {
		module_put(THIS_MODULE);
		iput(inode);
	}
	return filp;
}

/**
 * ph_region_mount - mount the file system that pseudo files are made in
 *
 * It stays as long as somebody can make a heap, and while there are such files.
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int ph_region_mount(void)
{
	return simple_pin_fs(&ph_fs_type, &ph_mount, &ph_mount_count) ? -ENOMEM : 0;
}

/**
 * ph_region_unmount - the mirror of ph_region_mount()
 */
void ph_region_unmount(void)
{
	simple_release_fs(&ph_mount, &ph_mount_count);
}

/**
 * ph_region_open - give a heap the pseudo file that its regions will map
 * @heap: the heap; the file system is mounted
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM, also when the system has no more open files to give.
 */
int ph_region_open(struct ph_heap *heap)
{
	unsigned int noreclaim;
	struct file *filp;

	if (!ph_table_reserve(1))
		return -ENOMEM;
	noreclaim = memalloc_noreclaim_save();
	filp = ph_region_file_create(heap);
	memalloc_noreclaim_restore(noreclaim);
	if (IS_ERR(filp))
		return -ENOMEM;
	file_inode(filp)->i_private = heap;
	filp->private_data = heap;
	heap->filp = filp;
	return 0;
}

/**
 * ph_region_close - give the pseudo file back
 * @heap: the heap, which has no region any more. A VMA that is just ending may
 *	still hold the file, so it forgets the heap.
 */
void ph_region_close(struct ph_heap *heap)
{
	WRITE_ONCE(file_inode(heap->filp)->i_private, NULL);
	WRITE_ONCE(heap->filp->private_data, NULL);
	fput(heap->filp);
}

/* The errno for a mapping that was refused. */
static int ph_region_map_error(long err)
{
	switch (err) {
	case -EPERM:	/* the only permission there is to ask for is PROT_EXEC */
	case -EACCES:
		return -EACCES;
	case -EINTR:
		return -EINTR;
	default:	/* also -EAGAIN, of a program that locks all it maps */
		return -ENOMEM;
	}
}

/**
 * ph_region_map - map a part of a heap's file: a region, or its page map
 * @region: which region
 * @prot: PROT_*
 * @pgoff: where the part starts
 * @nr_pages: how long it is
 *
 * Context: May sleep; takes mmap_lock. Caller holds ph_heap.grow_lock and is the
 * heap's owner.
 * Return: the address, -ENOMEM, -EINTR, or -EACCES when it may not be executable.
 */
long ph_region_map(struct ph_region *region, unsigned long prot, pgoff_t pgoff,
		   unsigned long nr_pages)
{
	struct ph_heap *heap = region->heap;
	unsigned int noreclaim;
	unsigned long addr;

	lockdep_assert_held(&heap->grow_lock);
	if (!ph_table_reserve(1))
		return -ENOMEM;
	heap->mapping = region;
	WRITE_ONCE(heap->mapper, current);
	noreclaim = memalloc_noreclaim_save();
	addr = vm_mmap(heap->filp, 0, nr_pages << PAGE_SHIFT, prot,
		       MAP_SHARED | MAP_NORESERVE, pgoff << PAGE_SHIFT);
	memalloc_noreclaim_restore(noreclaim);
	WRITE_ONCE(heap->mapper, NULL);
	heap->mapping = NULL;
	return IS_ERR_VALUE(addr) ? ph_region_map_error(addr) : addr;
}

/**
 * ph_region_create - reserve address space for a heap
 * @heap: the heap; the caller is its owner
 * @nr_pages: how much
 *
 * The region is mapped, but belongs to no heap's bookkeeping yet: its pages are
 * not committed and it has no blocks.
 *
 * Context: May sleep; takes mmap_lock. Caller holds heap->grow_lock.
 * Return: the region with one reference, or ERR_PTR(-ENOMEM), ERR_PTR(-EINTR),
 * or ERR_PTR(-EACCES) when it may not be executable.
 */
struct ph_region *ph_region_create(struct ph_heap *heap, unsigned long nr_pages)
{
	unsigned long prot = PROT_READ | PROT_WRITE;
	struct ph_region *region;
	long addr;

	lockdep_assert_held(&heap->grow_lock);
	if (nr_pages + ph_pagemap_pages(nr_pages) >
	    (ULONG_MAX >> PAGE_SHIFT) - heap->next_pgoff - PH_CHUNK_PAGES)
		return ERR_PTR(-ENOMEM);
	region = kzalloc(sizeof(*region), PH_GFP_META);
	if (!region)
		return ERR_PTR(-ENOMEM);
	refcount_set(&region->refs, 1);
	INIT_LIST_HEAD(&region->node);
	INIT_LIST_HEAD(&region->idle_node);
	xa_init_flags(&region->chunks, XA_FLAGS_ACCOUNT);
	refcount_inc(&heap->refs);
	region->heap = heap;
	/* A huge page has to be aligned in the file, too. */
	region->pgoff = heap->huge ? ALIGN(heap->next_pgoff, PH_CHUNK_PAGES) :
				     heap->next_pgoff;
	region->blocks.nr_pages = nr_pages;

	if (heap->flags & PRIVHEAP_CREATE_F_EXEC)
		prot |= PROT_EXEC;
	addr = ph_region_map(region, prot, region->pgoff, nr_pages);
	if (addr < 0) {
		ph_region_put(region);
		return ERR_PTR(addr);
	}
	heap->next_pgoff = ph_region_end_pgoff(region);
	region->blocks.base = addr;
	return region;
}

/* What a program can change about a mapping: madvise(), mlock(), userfaultfd. */
#define PH_VM_ADVICE	(VM_DONTCOPY | VM_DONTDUMP | VM_WIPEONFORK | VM_LOCKED | \
			 VM_RAND_READ | VM_SEQ_READ | VM_HUGEPAGE | \
			 VM_NOHUGEPAGE | VM_MERGEABLE | __VM_UFFD_FLAGS)

/**
 * ph_region_is_pristine - is the first region of a heap mapped as it was at first?
 * @heap: the heap, which is not secret
 *
 * What the program advised about one heap is not to hold for the next.
 *
 * Context: May sleep; takes mmap_lock.
 * Return: true if so.
 */
bool ph_region_is_pristine(struct ph_heap *heap)
{
	struct vm_area_struct *vma;
	bool pristine;

	if (mmap_read_lock_killable(heap->mm))
		return false;
	vma = vma_lookup(heap->mm, heap->base);
	pristine = vma && vma->vm_file == heap->filp && !vma_policy(vma) &&
		   (vma->vm_flags & PH_VM_ADVICE) == VM_DONTCOPY;
	mmap_read_unlock(heap->mm);
	return pristine;
}

/**
 * ph_region_unmap - end the reservation of a region
 * @region: a region that no block bookkeeping knows any more
 *
 * In the owner's address space the mapping goes. When the call runs elsewhere
 * (the file was closed for the last time by somebody else) it stays, with
 * nothing behind it, until the owner's address space ends.
 *
 * Context: May sleep; takes mmap_lock.
 */
void ph_region_unmap(struct ph_region *region)
{
	struct ph_heap *heap = region->heap;

	if (current->mm != heap->mm)
		return;
	ph_pagemap_unmap(region);
	if (!READ_ONCE(region->nr_vmas))
		return;
	/*
	 * Fails for a task that is being killed, and if the program sealed the
	 * mapping with mseal(): exit will unmap it. A program that unmaps the
	 * region itself at this moment, and maps something else there, loses that.
	 */
	vm_munmap(region->blocks.base, region->blocks.nr_pages << PAGE_SHIFT);
}
