// SPDX-License-Identifier: GPL-2.0-only
//
// A script that allocates without end and keeps all of it, in the variable
// "kept". It has no value: it can end only by an error of the engine.

var line = new Array(1000).join('-');
var kept = [];

for (;;)
	kept.push({ number: kept.length, text: line + kept.length });
