// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners: whom heaps are charged to, and how a limit is found from outside.
 *
 * A process is an address space that opened the device, with however many open
 * files; a user is who it ran as when it did so first. All nodes of the limit tree
 * are in tables, one for each scope, by key:
 *
 *	scope	key			stays in the table
 *	heap	serial number		from create to destroy
 *	process	address of its mm	while it has an open file or a heap
 *	user	user id			while it has a process; once its limits were
 *					set, until the module goes
 *	cgroup	id of the cgroup	while it has a heap
 *	system	0			always
 *
 * Lifetimes: a node that was found is held; ph_limit_put() lets go of it. A
 * node holds its parent.
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "internal.h"

static unsigned int user_limit_percent = 50;
module_param(user_limit_percent, uint, 0444);
MODULE_PARM_DESC(user_limit_percent,
		 "share of the machine's memory that the heaps of one user may commit, root excepted (default 50)");

static unsigned int system_limit_percent = 90;
module_param(system_limit_percent, uint, 0444);
MODULE_PARM_DESC(system_limit_percent,
		 "share of the machine's memory that all heaps together may commit (default 90)");

static struct ph_limit ph_system_limit;

/* The mark of heaps that may have idle pages. */
#define PH_HEAP_IDLE	XA_MARK_1

/* Nodes by scope and key; all but the heaps' change under ph_owner_lock. */
static struct xarray ph_nodes[PH_NR_SCOPES];
static DEFINE_MUTEX(ph_owner_lock);

/* Counts what is entered in the tables and taken out of them. */
static atomic_t ph_generation = ATOMIC_INIT(1);

/* Heaps are numbered through, for as long as the module is loaded. */
static atomic64_t ph_last_serial;

static unsigned long ph_share_of_memory(unsigned int percent)
{
	return mult_frac(totalram_pages(), min(percent, 100U), 100);
}

static struct ph_process *ph_process_of(struct ph_limit *limit)
{
	return container_of(limit, struct ph_process, limit);
}

static struct ph_cgroup *ph_cgroup_of(struct ph_limit *limit)
{
	return container_of(limit, struct ph_cgroup, limit);
}

static struct ph_limit *ph_node_enter_locked(struct ph_limit *limit,
					     unsigned long key)
{
	lockdep_assert_held(&ph_owner_lock);
	limit->key = key;
	refcount_set(&limit->refs, 1);
	if (xa_is_err(xa_store(&ph_nodes[limit->scope], key, limit, GFP_KERNEL)))
		return ERR_PTR(-ENOMEM);
	atomic_inc(&ph_generation);
	return limit;
}

static struct ph_limit *ph_node_get_locked(enum privheap_scope scope,
					   unsigned long key)
{
	struct ph_limit *limit = xa_load(&ph_nodes[scope], key);

	lockdep_assert_held(&ph_owner_lock);
	if (limit)
		refcount_inc(&limit->refs);
	return limit;
}

static void ph_node_free(struct ph_limit *limit)
{
	switch (limit->scope) {
	case PRIVHEAP_SCOPE_PROCESS:
		ph_pool_exit(&ph_process_of(limit)->pool);
		put_pid(ph_process_of(limit)->tgid);
		mmdrop(ph_process_of(limit)->mm);
		kfree(ph_process_of(limit));
		break;
	case PRIVHEAP_SCOPE_USER:
		kfree(container_of(limit, struct ph_user, limit));
		break;
	case PRIVHEAP_SCOPE_CGROUP:
		ph_cgroup_close(ph_cgroup_of(limit)->css);
		kfree(ph_cgroup_of(limit));
		break;
	default:
		WARN_ON_ONCE(1);
	}
}

/* Lets go of a node that is no heap's, and with the last one of its parent. */
static void ph_node_put(struct ph_limit *limit)
{
	struct ph_limit *parent;

	while (limit && refcount_dec_and_mutex_lock(&limit->refs,
						    &ph_owner_lock)) {
		parent = limit->parent;
		WARN_ON_ONCE(ph_limit_usage(limit));
		xa_erase(&ph_nodes[limit->scope], limit->key);
		atomic_inc(&ph_generation);
		mutex_unlock(&ph_owner_lock);
		ph_node_free(limit);
		limit = parent;
	}
}

/**
 * ph_limit_put - let go of a node
 * @limit: from ph_limit_find(), ph_limit_next() or one of the get functions
 *
 * Context: May sleep.
 */
void ph_limit_put(struct ph_limit *limit)
{
	if (limit->scope == PRIVHEAP_SCOPE_HEAP)
		ph_heap_put(container_of(limit, struct ph_heap, limit));
	else
		ph_node_put(limit);
}

static struct ph_limit *ph_user_get_locked(kuid_t uid)
{
	struct ph_limit *limit;
	struct ph_user *user;

	limit = ph_node_get_locked(PRIVHEAP_SCOPE_USER, __kuid_val(uid));
	if (limit)
		return limit;
	user = kzalloc(sizeof(*user), GFP_KERNEL);
	if (!user)
		return ERR_PTR(-ENOMEM);
	user->uid = uid;
	ph_limit_init(&user->limit, PRIVHEAP_SCOPE_USER, &ph_system_limit,
		      uid_eq(uid, GLOBAL_ROOT_UID) ?
			      ULONG_MAX : ph_share_of_memory(user_limit_percent));
	limit = ph_node_enter_locked(&user->limit, __kuid_val(uid));
	if (IS_ERR(limit))
		kfree(user);
	else
		refcount_inc(&ph_system_limit.refs);
	return limit;
}

/* The key is never followed; the mm is pinned, so no other has it. */
static unsigned long ph_process_key(struct mm_struct *mm)
{
	return (unsigned long)mm / L1_CACHE_BYTES;
}

static struct ph_limit *ph_process_get_locked(struct ph_limit *user)
{
	struct ph_process *process;
	struct ph_limit *limit;

	limit = ph_node_get_locked(PRIVHEAP_SCOPE_PROCESS,
				   ph_process_key(current->mm));
	if (limit)
		return limit;
	process = kzalloc(sizeof(*process), PH_GFP_META);
	if (!process)
		return ERR_PTR(-ENOMEM);
	ph_limit_init(&process->limit, PRIVHEAP_SCOPE_PROCESS, user, ULONG_MAX);
	process->mm = current->mm;
	process->tgid = get_pid(task_tgid(current));
	mmgrab(process->mm);
	ph_pool_init(&process->pool);
	spin_lock_init(&process->retired_lock);
	limit = ph_node_enter_locked(&process->limit,
				     ph_process_key(process->mm));
	if (IS_ERR(limit))
		ph_node_free(&process->limit);
	else
		refcount_inc(&user->refs);
	return limit;
}

/**
 * ph_process_get - find or make the node of the calling process
 *
 * Context: May sleep.
 * Return: the process, to be given back with ph_limit_put(), or ERR_PTR(-ENOMEM).
 */
struct ph_process *ph_process_get(void)
{
	struct ph_limit *user, *limit;

	mutex_lock(&ph_owner_lock);
	limit = user = ph_user_get_locked(current_uid());
	if (!IS_ERR(user))
		limit = ph_process_get_locked(user);
	mutex_unlock(&ph_owner_lock);
	if (!IS_ERR(user))
		ph_limit_put(user);
	return IS_ERR(limit) ? ERR_CAST(limit) : ph_process_of(limit);
}

/* Takes @css over. */
static struct ph_limit *ph_cgroup_new_locked(struct cgroup_subsys_state *css)
{
	struct ph_cgroup *cgroup = kzalloc(sizeof(*cgroup), PH_GFP_META);
	struct ph_limit *limit;

	if (!cgroup) {
		ph_cgroup_close(css);
		return ERR_PTR(-ENOMEM);
	}
	cgroup->css = css;
	ph_limit_init(&cgroup->limit, PRIVHEAP_SCOPE_CGROUP, NULL, ULONG_MAX);
	limit = ph_node_enter_locked(&cgroup->limit, ph_cgroup_id(css));
	if (IS_ERR(limit))
		ph_node_free(&cgroup->limit);
	return limit;
}

/**
 * ph_cgroup_get - find or make the node of a cgroup
 * @fd: descriptor of its directory, see ph_cgroup_open()
 *
 * Context: May sleep.
 * Return: the cgroup, to be given back with ph_limit_put(), or ERR_PTR() of
 * -ENOMEM, -EBADF, -EACCES, -EOPNOTSUPP.
 */
struct ph_cgroup *ph_cgroup_get(int fd)
{
	struct cgroup_subsys_state *css = ph_cgroup_open(fd);
	struct ph_limit *limit;

	if (IS_ERR(css))
		return ERR_CAST(css);
	mutex_lock(&ph_owner_lock);
	limit = ph_node_get_locked(PRIVHEAP_SCOPE_CGROUP, ph_cgroup_id(css));
	if (limit)
		ph_cgroup_close(css);
	else
		limit = ph_cgroup_new_locked(css);
	mutex_unlock(&ph_owner_lock);
	return IS_ERR(limit) ? ERR_CAST(limit) : ph_cgroup_of(limit);
}

/**
 * ph_owner_add_heap - give a heap its serial number and a place in the table
 * @heap: not to be found there before ph_owner_publish_heap()
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int ph_owner_add_heap(struct ph_heap *heap)
{
	heap->limit.key = atomic64_inc_return(&ph_last_serial);
	return xa_reserve(&ph_nodes[PRIVHEAP_SCOPE_HEAP], heap->limit.key,
			  GFP_KERNEL);
}

/**
 * ph_owner_publish_heap - let others find a heap
 * @heap: after ph_owner_add_heap()
 */
void ph_owner_publish_heap(struct ph_heap *heap)
{
	/* The place is reserved: this needs no memory and cannot fail. */
	xa_store(&ph_nodes[PRIVHEAP_SCOPE_HEAP], heap->limit.key, &heap->limit,
		 GFP_KERNEL);
	atomic_inc(&ph_generation);
}

/**
 * ph_owner_remove_heap - let nobody find a heap any more
 * @heap: after ph_owner_add_heap(); who has found it, still has it
 */
void ph_owner_remove_heap(struct ph_heap *heap)
{
	xa_erase(&ph_nodes[PRIVHEAP_SCOPE_HEAP], heap->limit.key);
	atomic_inc(&ph_generation);
}

/**
 * ph_owner_mark_idle - note whether a heap may have idle pages
 * @heap: the heap
 * @idle: false if it has none
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_owner_mark_idle(struct ph_heap *heap, bool idle)
{
	struct xarray *heaps = &ph_nodes[PRIVHEAP_SCOPE_HEAP];

	if (idle)
		xa_set_mark(heaps, heap->limit.key, PH_HEAP_IDLE);
	else
		xa_clear_mark(heaps, heap->limit.key, PH_HEAP_IDLE);
}

/* The first node from *@key on, held; *@key becomes its key. */
static struct ph_limit *ph_heap_next(unsigned long *key, xa_mark_t mark)
{
	struct ph_limit *limit;
	struct ph_heap *heap;

	for (;; ++*key) {
		rcu_read_lock();
		limit = xa_find(&ph_nodes[PRIVHEAP_SCOPE_HEAP], key, ULONG_MAX,
				mark);
		heap = container_of(limit, struct ph_heap, limit);
		if (limit && !refcount_inc_not_zero(&heap->refs))
			heap = NULL;
		rcu_read_unlock();
		if (!limit)
			return NULL;
		if (!heap)
			continue;
		smp_mb__after_atomic();	/* pairs with that of ph_retired_add() */
		if (READ_ONCE(limit->key) == *key)
			return limit;
		ph_heap_put(heap);
	}
}

/**
 * ph_owner_next_idle - go through the heaps that may have idle pages
 * @key: as for ph_limit_next()
 *
 * Context: May sleep.
 * Return: the heap, held, or NULL at the end.
 */
struct ph_heap *ph_owner_next_idle(unsigned long *key)
{
	struct ph_limit *limit = ph_heap_next(key, PH_HEAP_IDLE);

	return limit ? container_of(limit, struct ph_heap, limit) : NULL;
}

/**
 * ph_limit_next - go through the nodes of a scope
 * @scope: which
 * @key: where to begin, 0 at first; receives the key of what was found. The
 *	caller adds 1 and goes on.
 *
 * Context: May sleep.
 * Return: the node, held, or NULL at the end.
 */
struct ph_limit *ph_limit_next(enum privheap_scope scope, unsigned long *key)
{
	struct ph_limit *limit;

	if (scope == PRIVHEAP_SCOPE_HEAP)
		return ph_heap_next(key, XA_PRESENT);
	mutex_lock(&ph_owner_lock);
	limit = xa_find(&ph_nodes[scope], key, ULONG_MAX, XA_PRESENT);
	if (limit)
		refcount_inc(&limit->refs);
	mutex_unlock(&ph_owner_lock);
	return limit;
}

static struct ph_limit *ph_process_find(pid_t nr)
{
	struct ph_limit *limit;
	unsigned long key;

	for (key = 0; (limit = ph_limit_next(PRIVHEAP_SCOPE_PROCESS, &key)); key++) {
		if (pid_vnr(ph_process_of(limit)->tgid) == nr)
			return limit;
		ph_limit_put(limit);
	}
	return NULL;
}

/**
 * ph_limit_find - find a node
 * @scope: what it limits
 * @key: serial number of a heap, process id as the caller sees it, user id in the
 *	initial user namespace, id of a cgroup, 0 for the system
 *
 * Context: May sleep.
 * Return: the node, to be given back with ph_limit_put(), or NULL.
 */
struct ph_limit *ph_limit_find(enum privheap_scope scope, u64 key)
{
	unsigned long found = key;
	struct ph_limit *limit;

	if (scope == PRIVHEAP_SCOPE_PROCESS)
		return key && key <= INT_MAX ? ph_process_find(key) : NULL;
	limit = ph_limit_next(scope, &found);
	if (limit && found != key) {
		ph_limit_put(limit);
		limit = NULL;
	}
	return limit;
}

/**
 * ph_limit_find_user - find the node of a user, or make it to stay
 * @uid: whose
 *
 * For who wants to set the limits of a user before that user has a process.
 *
 * Context: May sleep.
 * Return: the node, to be given back with ph_limit_put(), or ERR_PTR(-ENOMEM).
 */
struct ph_limit *ph_limit_find_user(kuid_t uid)
{
	struct ph_limit *limit;
	struct ph_user *user;

	mutex_lock(&ph_owner_lock);
	limit = ph_user_get_locked(uid);
	if (!IS_ERR(limit)) {
		user = container_of(limit, struct ph_user, limit);
		if (!user->stays)
			refcount_inc(&limit->refs);
		user->stays = true;
	}
	mutex_unlock(&ph_owner_lock);
	return limit;
}

/**
 * ph_limit_user - find the user above a node
 * @limit: the node, held
 *
 * Return: the user, or NULL for the system and cgroups.
 */
struct ph_user *ph_limit_user(struct ph_limit *limit)
{
	for (; limit; limit = limit->parent)
		if (limit->scope == PRIVHEAP_SCOPE_USER)
			return container_of(limit, struct ph_user, limit);
	return NULL;
}

/**
 * ph_limit_owner - whose a node is
 * @limit: the node, held
 *
 * Return: the user's id, or INVALID_UID for the system and cgroups.
 */
kuid_t ph_limit_owner(struct ph_limit *limit)
{
	struct ph_user *user = ph_limit_user(limit);

	return user ? user->uid : INVALID_UID;
}

/**
 * ph_owner_has_heap - can a heap be found by its serial number?
 * @heap: the heap, held
 *
 * Context: Any.
 * Return: yes, or no when it is in the making or being destroyed.
 */
bool ph_owner_has_heap(struct ph_heap *heap)
{
	return xa_load(&ph_nodes[PRIVHEAP_SCOPE_HEAP], heap->limit.key) ==
	       &heap->limit;
}

/**
 * ph_owner_generation - tell whether nodes came or went
 *
 * Context: Any.
 * Return: a number that is another one if they did; not 0, but after 2^32 times.
 */
unsigned int ph_owner_generation(void)
{
	return atomic_read(&ph_generation);
}

/**
 * ph_owners_init - make the tables and the node of the system
 *
 * Return: 0, or -EINVAL when a parameter is no percentage.
 */
int ph_owners_init(void)
{
	enum privheap_scope scope;
	struct ph_limit *system;

	if (user_limit_percent > 100 || system_limit_percent > 100)
		return -EINVAL;
	for (scope = 0; scope < PH_NR_SCOPES; scope++)
		xa_init(&ph_nodes[scope]);
	ph_limit_init(&ph_system_limit, PRIVHEAP_SCOPE_SYSTEM, NULL,
		      ph_share_of_memory(system_limit_percent));
	ph_stocks_init();
	mutex_lock(&ph_owner_lock);
	system = ph_node_enter_locked(&ph_system_limit, 0);
	mutex_unlock(&ph_owner_lock);
	return PTR_ERR_OR_ZERO(system);
}

/**
 * ph_owners_exit - the mirror of ph_owners_init(); only users are left, that stay
 */
void ph_owners_exit(void)
{
	enum privheap_scope scope;
	struct ph_limit *limit;
	unsigned long key;

	xa_for_each(&ph_nodes[PRIVHEAP_SCOPE_USER], key, limit)
		kfree(container_of(limit, struct ph_user, limit));
	for (scope = 0; scope < PH_NR_SCOPES; scope++)
		xa_destroy(&ph_nodes[scope]);
}
