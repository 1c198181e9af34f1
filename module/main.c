// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's ladder: what is set up, in which order, and its mirror.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "internal.h"

#ifndef CONFIG_64BIT
#error "privheap needs a kernel of 64 bits: addresses travel as u64"
#endif

static ushort mode = 0600;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode, "permissions of /dev/privheap (default 0600)");

static struct miscdevice ph_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "privheap",
	.fops	= &ph_file_fops,
};

static int __init ph_init(void)
{
	int err;

	err = ph_owners_init();
	if (err)
		return err;
	err = ph_policy_init();
	if (err)
		goto err_owners;
	err = ph_heap_cache_init();
	if (err)
		goto err_owners;
	err = ph_block_cache_init();
	if (err)
		goto err_heap_cache;
	err = ph_pools_init();
	if (err)
		goto err_block_cache;
	err = ph_idle_init();
	if (err)
		goto err_pools;
	err = ph_netlink_init();
	if (err)
		goto err_idle;
	ph_device.mode = mode & 0777;
	err = misc_register(&ph_device);
	if (err)
		goto err_netlink;
	return 0;

err_netlink:
	ph_netlink_exit();
err_idle:
	ph_idle_exit();
err_pools:
	ph_pools_exit();
err_block_cache:
	ph_block_cache_exit();
err_heap_cache:
	ph_heap_cache_exit();
err_owners:
	ph_owners_exit();
	return err;
}

static void __exit ph_exit(void)
{
	misc_deregister(&ph_device);
	ph_netlink_exit();
	ph_idle_exit();
	ph_pools_exit();
	ph_block_cache_exit();
	ph_heap_cache_exit();
	ph_owners_exit();
}

module_init(ph_init);
module_exit(ph_exit);

MODULE_DESCRIPTION("Private heaps with limits that the kernel enforces");
MODULE_LICENSE("GPL");
