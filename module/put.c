// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps and limits as netlink attributes, and who may see them.
 *
 * There is one function for each object; answers, lists and events all use it.
 * None takes a lock that a program can hold for long: what is read is what the
 * members say at that moment.
 *
 * Who asks is two at once: who opened the socket, and who sent the request. A
 * program that lets itself be handed a socket, say as its standard output, must
 * not lend its rights to who made that. So both must have the right, also where
 * netlink_capable() would trust the sender alone.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pid.h>

#include <net/sock.h>

#include "netlink.h"

static bool ph_opener_can(const struct file *filp, int cap)
{
	return file_ns_capable(filp, &init_user_ns, cap);
}

static bool ph_sender_can(int cap)
{
	return ns_capable_noaudit(&init_user_ns, cap);
}

/**
 * ph_asker_init - find out who asks
 * @asker: receives it
 * @skb: the request
 *
 * Context: Called by the sender.
 */
void ph_asker_init(struct ph_asker *asker, struct sk_buff *skb)
{
	struct sock *sk = NETLINK_CB(skb).sk;
	struct file *filp = sk->sk_socket->file;
	bool opener = ph_opener_can(filp, CAP_SYS_PTRACE);
	bool sender = ph_sender_can(CAP_SYS_PTRACE);

	asker->user_ns = sk_user_ns(sk);
	asker->is_init = false;
	asker->sees_all = opener && sender;
	asker->sets_any = ph_opener_can(filp, CAP_SYS_RESOURCE) &&
			  ph_sender_can(CAP_SYS_RESOURCE);
	if (opener)
		asker->uid = current_euid();
	else if (sender || uid_eq(filp->f_cred->euid, current_euid()))
		asker->uid = filp->f_cred->euid;
	else
		asker->uid = INVALID_UID;
}

/**
 * ph_limit_process - find the process of a node
 * @limit: the node
 *
 * Return: the process of a heap's node or of its own, NULL for others.
 */
struct ph_process *ph_limit_process(struct ph_limit *limit)
{
	if (limit->scope == PRIVHEAP_SCOPE_HEAP)
		limit = limit->parent;
	if (limit->scope != PRIVHEAP_SCOPE_PROCESS)
		return NULL;
	return container_of(limit, struct ph_process, limit);
}

/**
 * ph_asker_sees - may a node be seen?
 * @asker: by whom
 * @limit: the node; a heap's stands for the heap
 *
 * Addresses tell how a process is laid out, so a user sees the heaps of those of
 * its processes only that it may look into.
 *
 * Context: Any.
 * Return: yes or no.
 */
bool ph_asker_sees(const struct ph_asker *asker, struct ph_limit *limit)
{
	struct ph_process *process = ph_limit_process(limit);
	kuid_t owner = ph_limit_owner(limit);

	if (asker->sees_all || limit->scope == PRIVHEAP_SCOPE_SYSTEM)
		return true;
	if (!uid_valid(owner) || !uid_eq(owner, asker->uid))
		return false;
	return !process || ph_dumpable(process->mm, process->tgid);
}

/**
 * ph_asker_sets - may anything of a node be changed?
 * @asker: by whom; who may see it
 * @limit: the node; a heap's stands for the heap
 *
 * Return: true if so. To see what is not one's own is not to change it.
 */
bool ph_asker_sets(const struct ph_asker *asker, struct ph_limit *limit)
{
	kuid_t owner = ph_limit_owner(limit);

	return asker->sets_any ||
	       (uid_valid(owner) && uid_eq(owner, asker->uid));
}

static u32 ph_show_pid(const struct ph_asker *asker, struct pid *tgid)
{
	return asker->is_init ? pid_nr(tgid) : pid_vnr(tgid);
}

/* What a node is known by; from outside, keys are not what they are inside. */
static u64 ph_show_key(const struct ph_asker *asker, struct ph_limit *limit)
{
	switch (limit->scope) {
	case PRIVHEAP_SCOPE_PROCESS:
		return ph_show_pid(asker, ph_limit_process(limit)->tgid);
	case PRIVHEAP_SCOPE_USER:
		return from_kuid_munged(asker->user_ns, ph_limit_owner(limit));
	default:
		return limit->key;
	}
}

/**
 * ph_put_owner - write down which process it is
 * @skb: the message
 * @asker: for whom
 * @process: the process
 * @pid_attr: attribute for its id
 * @comm_attr: attribute for its name
 *
 * Context: May sleep.
 * Return: 0 or -EMSGSIZE.
 */
int ph_put_owner(struct sk_buff *skb, const struct ph_asker *asker,
		 struct ph_process *process, int pid_attr, int comm_attr)
{
	char comm[TASK_COMM_LEN] = "";
	struct task_struct *task;

	rcu_read_lock();
	task = pid_task(process->tgid, PIDTYPE_TGID);
	if (task)
		get_task_comm(comm, task);
	rcu_read_unlock();
	if (nla_put_u32(skb, pid_attr, ph_show_pid(asker, process->tgid)) ||
	    nla_put_string(skb, comm_attr, comm))
		return -EMSGSIZE;
	return 0;
}

/**
 * ph_put_u64 - write a number of 64 bits down, aligned
 * @skb: the message
 * @attr: the attribute
 * @value: the number
 *
 * Context: Any.
 * Return: 0 or -EMSGSIZE.
 */
int ph_put_u64(struct sk_buff *skb, int attr, u64 value)
{
	/* In each set, the first attribute is for padding. */
	return nla_put_u64_64bit(skb, attr, value, PRIVHEAP_A_HEAP_PAD);
}

/**
 * ph_put_limit - write a node down
 * @skb: the message
 * @asker: for whom
 * @limit: the node
 *
 * Context: May sleep.
 * Return: 0 or -EMSGSIZE.
 */
int ph_put_limit(struct sk_buff *skb, const struct ph_asker *asker,
		 struct ph_limit *limit)
{
	struct ph_process *process = ph_limit_process(limit);
	kuid_t owner = ph_limit_owner(limit);

	if (nla_put_u32(skb, PRIVHEAP_A_LIMIT_SCOPE, limit->scope) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_KEY, ph_show_key(asker, limit)) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_HARD_BYTES,
		       ph_limit_bytes(READ_ONCE(limit->hard_pages))) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_SOFT_BYTES,
		       ph_limit_bytes(READ_ONCE(limit->soft_pages))) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_GRACE_BYTES,
		       ph_limit_bytes(READ_ONCE(limit->grace_pages))) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_USAGE_BYTES,
		       ph_limit_bytes(ph_limit_usage(limit))) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_PEAK_BYTES,
		       ph_limit_bytes(atomic_long_read(&limit->peak_pages))) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_NR_FAILURES,
		       atomic_long_read(&limit->nr_failures)) ||
	    ph_put_u64(skb, PRIVHEAP_A_LIMIT_NR_SOFT_HITS,
		       atomic_long_read(&limit->nr_soft_hits)))
		return -EMSGSIZE;
	if (uid_valid(owner) &&
	    nla_put_u32(skb, PRIVHEAP_A_LIMIT_UID,
			from_kuid_munged(asker->user_ns, owner)))
		return -EMSGSIZE;
	return process ? ph_put_owner(skb, asker, process, PRIVHEAP_A_LIMIT_PID,
				      PRIVHEAP_A_LIMIT_COMM) : 0;
}

static int ph_put_heap_limit(struct sk_buff *skb, const struct ph_asker *asker,
			     struct ph_heap *heap)
{
	struct nlattr *nest = nla_nest_start(skb, PRIVHEAP_A_HEAP_LIMIT);

	if (!nest || ph_put_limit(skb, asker, &heap->limit))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int ph_put_heap_sizes(struct sk_buff *skb, struct ph_heap *heap)
{
	unsigned long committed = ph_limit_usage(&heap->limit);
	unsigned long resident = atomic_long_read(&heap->nr_resident);
	u64 nr_blocks, allocated_bytes;

	ph_front_sum(heap, &nr_blocks, &allocated_bytes);
	if (ph_put_u64(skb, PRIVHEAP_A_HEAP_BASE, heap->base) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_MAX_BYTES,
		       ph_limit_bytes(heap->max_pages)) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_RESERVED_BYTES,
		       ph_limit_bytes(READ_ONCE(heap->reserved_pages))) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_COMMITTED_BYTES,
		       ph_limit_bytes(committed)) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_RESIDENT_BYTES,
		       ph_limit_bytes(resident)) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_ALLOCATED_BYTES,
		       allocated_bytes) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_NR_BLOCKS, nr_blocks) ||
	    nla_put_u32(skb, PRIVHEAP_A_HEAP_NR_REGIONS,
			READ_ONCE(heap->nr_regions)) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_META_BYTES,
		       READ_ONCE(heap->store.nr_meta_bytes)))
		return -EMSGSIZE;
	return 0;
}

/* How a heap takes its memory, and what was asked to fail. */
static int ph_put_heap_policy(struct sk_buff *skb, struct ph_heap *heap)
{
	if (nla_put_u32(skb, PRIVHEAP_A_HEAP_POLICY, ph_policy_id(heap)) ||
	    nla_put_u32(skb, PRIVHEAP_A_HEAP_WINDOW_PAGES,
			READ_ONCE(heap->window_pages)) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_IDLE_BYTES,
		       (u64)READ_ONCE(heap->nr_idle) << PAGE_SHIFT) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES,
		       (u64)READ_ONCE(heap->max_idle) << PAGE_SHIFT) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_NR_INJECTED,
		       READ_ONCE(heap->inject.nr_failures)) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_INJECT_NTH,
		       READ_ONCE(heap->inject.nth)) ||
	    nla_put_u32(skb, PRIVHEAP_A_HEAP_INJECT_RATE_PPM,
			READ_ONCE(heap->inject.rate_ppm)))
		return -EMSGSIZE;
	return 0;
}

/**
 * ph_put_heap - write a heap down
 * @skb: the message
 * @asker: for whom
 * @heap: the heap, held
 *
 * Context: May sleep. Takes no lock of the heap's but a leaf.
 * Return: 0 or -EMSGSIZE.
 */
int ph_put_heap(struct sk_buff *skb, const struct ph_asker *asker,
		struct ph_heap *heap)
{
	u32 state = READ_ONCE(heap->state) == PH_HEAP_DEAD ?
		    PRIVHEAP_STAT_S_DEAD : 0;

	if (ph_put_u64(skb, PRIVHEAP_A_HEAP_SERIAL, heap->limit.key) ||
	    ph_put_u64(skb, PRIVHEAP_A_HEAP_ID, heap->id) ||
	    ph_put_owner(skb, asker, ph_limit_process(&heap->limit),
			 PRIVHEAP_A_HEAP_PID, PRIVHEAP_A_HEAP_COMM) ||
	    nla_put_u32(skb, PRIVHEAP_A_HEAP_UID,
			from_kuid_munged(asker->user_ns,
					 ph_limit_owner(&heap->limit))) ||
	    nla_put_u32(skb, PRIVHEAP_A_HEAP_FLAGS, heap->flags) ||
	    nla_put_u32(skb, PRIVHEAP_A_HEAP_STATE, state) ||
	    ph_put_heap_sizes(skb, heap) ||
	    ph_put_heap_policy(skb, heap) ||
	    ph_put_heap_limit(skb, asker, heap))
		return -EMSGSIZE;
	return heap->cgroup ? ph_put_u64(skb, PRIVHEAP_A_HEAP_CGROUP,
					 heap->cgroup->limit.key) : 0;
}
