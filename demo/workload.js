// SPDX-License-Identifier: GPL-2.0-only
//
// A script of some size for the demonstration of heaps with a hard maximum.
//
// Four jobs that allocate in different ways: a compiler and a virtual machine
// for a small language (trees, closures, stacks), queens on a chess board
// (recursion), statistics of a text (strings, hash tables, sorting), and JSON
// round trips (deep objects, long strings). Each job checks itself and throws an
// Error when it is wrong. The value of the script is one line with the result of
// each and a checksum of all that was computed on the way.
//
// The host may define
//	seed		a number that the text and the JSON data depend on
//	phase(name)	called before each job and at the end
//
// Plain ECMAScript 5, so that any engine can run it and compare.

(function (global) {
	'use strict';

	var seed = global.seed === undefined ? 1 : global.seed;
	var phase = global.phase || function () {};

	function check(condition, what) {
		if (!condition)
			throw new Error('wrong: ' + what);
	}

	// What was computed

	var checksum = seed;

	// All numbers on the way stay below 2^53, so they are exact.
	function note(text) {
		var i;

		for (i = 0; i < text.length; i++)
			checksum = (checksum * 33 + text.charCodeAt(i)) % 0x100000000;
	}

	// A generator of numbers: the same ones for the same seed everywhere.
	function Random(start) {
		this.state = start % 2147483647 || 1;
	}

	Random.prototype.below = function (limit) {
		this.state = this.state * 16807 % 2147483647;
		return this.state % limit;
	};

	// A small language: from the source to tokens

	var KEYWORDS = {
		fn: true, 'let': true, 'while': true, 'if': true, 'else': true,
		'return': true
	};

	function tokenize(source) {
		var pattern = /\s*(?:([0-9]+)|([a-z_][a-z_0-9]*)|(&&|\|\||[=!<>]=|[-+*\/%<>=!(){}\[\],;]))/g;
		var end = source.replace(/\s+$/, '').length;
		var tokens = [];
		var match;

		while (pattern.lastIndex < end) {
			var at = pattern.lastIndex;

			match = pattern.exec(source);
			if (!match || match.index !== at)
				throw new SyntaxError('strange text at ' + at);
			if (match[1])
				tokens.push({ kind: 'number', value: +match[1] });
			else if (match[2] && KEYWORDS[match[2]] !== true)
				tokens.push({ kind: 'name', value: match[2] });
			else
				tokens.push({ kind: match[2] || match[3] });
		}
		tokens.push({ kind: 'end' });
		return tokens;
	}

	// From tokens to a tree

	var PRIORITY = {
		'||': 1, '&&': 2, '==': 3, '!=': 3, '<': 4, '<=': 4, '>': 4, '>=': 4,
		'+': 5, '-': 5, '*': 6, '/': 6, '%': 6
	};

	function Parser(tokens) {
		this.tokens = tokens;
		this.next = 0;
	}

	Parser.prototype.peek = function () {
		return this.tokens[this.next].kind;
	};

	Parser.prototype.accept = function (kind) {
		if (this.peek() !== kind)
			return false;
		this.next++;
		return true;
	};

	Parser.prototype.expect = function (kind) {
		var token = this.tokens[this.next++];

		if (token.kind !== kind)
			throw new SyntaxError(token.kind + ' instead of ' + kind);
		return token.value;
	};

	// Items separated by commas, up to a closing bracket.
	Parser.prototype.list = function (close, item) {
		var items = [];

		if (this.accept(close))
			return items;
		do
			items.push(item.call(this));
		while (this.accept(','));
		this.expect(close);
		return items;
	};

	Parser.prototype.name = function () {
		return this.expect('name');
	};

	Parser.prototype.primary = function () {
		var name;

		if (this.accept('-'))
			return { op: 'negate', right: this.operand() };
		if (this.accept('!'))
			return { op: 'not', right: this.operand() };
		if (this.accept('['))
			return { op: 'array', items: this.list(']', this.expression) };
		if (this.accept('(')) {
			var inner = this.expression();

			this.expect(')');
			return inner;
		}
		if (this.peek() === 'number')
			return { op: 'number', value: this.expect('number') };
		name = this.name();
		if (this.accept('('))
			return { op: 'call', name: name,
				 args: this.list(')', this.expression) };
		return { op: 'load', name: name };
	};

	Parser.prototype.operand = function () {
		var tree = this.primary();

		while (this.accept('[')) {
			tree = { op: 'index', left: tree, right: this.expression() };
			this.expect(']');
		}
		return tree;
	};

	Parser.prototype.expression = function (least) {
		var left = this.operand();
		var op, priority;

		for (;;) {
			op = this.peek();
			priority = PRIORITY[op];
			if (!priority || priority < (least || 1))
				return left;
			this.next++;
			left = { op: op, left: left,
				 right: this.expression(priority + 1) };
		}
	};

	Parser.prototype.block = function () {
		var statements = [];

		this.expect('{');
		while (!this.accept('}'))
			statements.push(this.statement());
		return statements;
	};

	Parser.prototype.condition = function () {
		var tree;

		this.expect('(');
		tree = this.expression();
		this.expect(')');
		return tree;
	};

	Parser.prototype.statement = function () {
		var tree;

		if (this.accept('while'))
			return { op: 'while', test: this.condition(),
				 body: this.block() };
		if (this.accept('if'))
			return { op: 'if', test: this.condition(),
				 body: this.block(),
				 other: this.accept('else') ? this.block() : [] };
		if (this.accept('return'))
			tree = { op: 'return', right: this.expression() };
		else
			tree = this.assignment();
		this.expect(';');
		return tree;
	};

	Parser.prototype.assignment = function () {
		var fresh = this.accept('let');
		var target = this.expression();

		if (!this.accept('='))
			return { op: 'drop', right: target };
		if (target.op === 'index')
			return { op: 'put', left: target.left, at: target.right,
				 right: this.expression() };
		return { op: fresh ? 'let' : 'store', name: target.name,
			 right: this.expression() };
	};

	function parse(source) {
		var parser = new Parser(tokenize(source));
		var functions = {};

		while (!parser.accept('end')) {
			var fn = {};

			parser.expect('fn');
			fn.name = parser.name();
			parser.expect('(');
			fn.params = parser.list(')', parser.name);
			fn.body = parser.block();
			functions[fn.name] = fn;
		}
		return functions;
	}

	// What operators do, for the interpreter, the optimiser and the machine

	var COMPUTE = {
		'+': function (a, b) { return a + b; },
		'-': function (a, b) { return a - b; },
		'*': function (a, b) { return a * b; },
		'/': function (a, b) { return Math.floor(a / b); },
		'%': function (a, b) { return a % b; },
		'<': function (a, b) { return a < b ? 1 : 0; },
		'<=': function (a, b) { return a <= b ? 1 : 0; },
		'>': function (a, b) { return a > b ? 1 : 0; },
		'>=': function (a, b) { return a >= b ? 1 : 0; },
		'==': function (a, b) { return a === b ? 1 : 0; },
		'!=': function (a, b) { return a !== b ? 1 : 0; }
	};

	// First way to run a program: closures made from the tree

	function Returned(value) {
		this.value = value;
	}

	function interpret(functions, name, args) {
		var fn = functions[name];
		var scope = {};

		function evaluate(tree) {
			switch (tree.op) {
			case 'number':
				return tree.value;
			case 'load':
				return scope[tree.name];
			case 'array':
				return tree.items.map(evaluate);
			case 'index':
				return evaluate(tree.left)[evaluate(tree.right)];
			case 'negate':
				return -evaluate(tree.right);
			case 'not':
				return evaluate(tree.right) ? 0 : 1;
			case '&&':
				return evaluate(tree.left) && evaluate(tree.right);
			case '||':
				return evaluate(tree.left) || evaluate(tree.right);
			case 'call':
				return interpret(functions, tree.name,
						 tree.args.map(evaluate));
			}
			return COMPUTE[tree.op](evaluate(tree.left),
						evaluate(tree.right));
		}

		// Gives a Returned when a return statement was met.
		function run(statements) {
			var i, tree, result;

			for (i = 0; i < statements.length; i++) {
				tree = statements[i];
				result = undefined;
				if (tree.op === 'return')
					return new Returned(evaluate(tree.right));
				if (tree.op === 'let' || tree.op === 'store')
					scope[tree.name] = evaluate(tree.right);
				else if (tree.op === 'put')
					evaluate(tree.left)[evaluate(tree.at)] =
						evaluate(tree.right);
				else if (tree.op === 'drop')
					evaluate(tree.right);
				else if (tree.op === 'if')
					result = run(evaluate(tree.test) ?
						     tree.body : tree.other);
				else while (!result && evaluate(tree.test))
					result = run(tree.body);
				if (result)
					return result;
			}
		}

		fn.params.forEach(function (param, i) {
			scope[param] = args[i];
		});
		return run(fn.body).value;
	}

	// Second way: a compiler with an optimiser, and a stack machine

	function fold(tree) {
		if (!tree || typeof tree !== 'object')
			return tree;
		Object.keys(tree).forEach(function (key) {
			tree[key] = Array.isArray(tree[key]) ?
				tree[key].map(fold) : fold(tree[key]);
		});
		if (COMPUTE[tree.op] && tree.left.op === 'number' &&
		    tree.right.op === 'number')
			return { op: 'number',
				 value: COMPUTE[tree.op](tree.left.value,
							 tree.right.value) };
		return tree;
	}

	function Compiler(fn) {
		this.code = [];
		this.slots = {};
		this.nr_slots = 0;
		fn.params.forEach(this.slot, this);
		this.statements(fn.body);
	}

	Compiler.prototype.slot = function (name) {
		if (this.slots[name] === undefined)
			this.slots[name] = this.nr_slots++;
		return this.slots[name];
	};

	// Returns where the instruction is, for patch().
	Compiler.prototype.emit = function (op, arg, count) {
		return this.code.push({ op: op, arg: arg, count: count }) - 1;
	};

	Compiler.prototype.patch = function (at) {
		this.code[at].arg = this.code.length;
	};

	Compiler.prototype.either = function (tree, op) {
		var jump;

		this.expression(tree.left);
		jump = this.emit(op);
		this.emit('drop');
		this.expression(tree.right);
		this.patch(jump);
	};

	Compiler.prototype.expression = function (tree) {
		switch (tree.op) {
		case 'number':
			this.emit('push', tree.value);
			break;
		case 'load':
			this.emit('load', this.slot(tree.name));
			break;
		case 'array':
			tree.items.forEach(this.expression, this);
			this.emit('array', tree.items.length);
			break;
		case 'call':
			tree.args.forEach(this.expression, this);
			this.emit('call', tree.name, tree.args.length);
			break;
		case 'negate':
		case 'not':
			this.expression(tree.right);
			this.emit(tree.op);
			break;
		case '&&':
			this.either(tree, 'unless_keep');
			break;
		case '||':
			this.either(tree, 'when_keep');
			break;
		default:
			this.expression(tree.left);
			this.expression(tree.right);
			this.emit(tree.op);
		}
	};

	Compiler.prototype.statements = function (trees) {
		trees.forEach(this.statement, this);
	};

	Compiler.prototype.statement = function (tree) {
		var start = this.code.length;
		var jump, end;

		switch (tree.op) {
		case 'let':
		case 'store':
			this.expression(tree.right);
			this.emit('store', this.slot(tree.name));
			break;
		case 'put':
			this.expression(tree.left);
			this.expression(tree.at);
			this.expression(tree.right);
			this.emit('put');
			break;
		case 'while':
			this.expression(tree.test);
			jump = this.emit('unless');
			this.statements(tree.body);
			this.emit('jump', start);
			this.patch(jump);
			break;
		case 'if':
			this.expression(tree.test);
			jump = this.emit('unless');
			this.statements(tree.body);
			end = this.emit('jump');
			this.patch(jump);
			this.statements(tree.other);
			this.patch(end);
			break;
		default:
			this.expression(tree.right);
			this.emit(tree.op);
		}
	};

	function compile(functions) {
		var compiled = {};

		Object.keys(functions).forEach(function (name) {
			compiled[name] = new Compiler(functions[name]);
		});
		return compiled;
	}

	function Machine(compiled) {
		this.compiled = compiled;
		this.stack = [];
		this.steps = 0;
	}

	// Instructions that neither jump, call nor return.
	Machine.prototype.simple = function (step, locals) {
		var stack = this.stack;
		var right;

		switch (step.op) {
		case 'push':
			stack.push(step.arg);
			break;
		case 'load':
			stack.push(locals[step.arg]);
			break;
		case 'store':
			locals[step.arg] = stack.pop();
			break;
		case 'drop':
			stack.pop();
			break;
		case 'array':
			stack.push(stack.splice(stack.length - step.arg));
			break;
		case 'index':
			right = stack.pop();
			stack.push(stack.pop()[right]);
			break;
		case 'put':
			right = stack.splice(stack.length - 3);
			right[0][right[1]] = right[2];
			break;
		case 'negate':
			stack.push(-stack.pop());
			break;
		case 'not':
			stack.push(stack.pop() ? 0 : 1);
			break;
		default:
			right = stack.pop();
			stack.push(COMPUTE[step.op](stack.pop(), right));
		}
	};

	Machine.prototype.run = function (name, args) {
		var stack = this.stack;
		var frames = [];
		var frame = { code: this.compiled[name].code, at: 0, locals: args };
		var step;

		while (frame) {
			step = frame.code[frame.at++];
			this.steps++;
			switch (step.op) {
			case 'jump':
				frame.at = step.arg;
				break;
			case 'unless':
				if (!stack.pop())
					frame.at = step.arg;
				break;
			case 'unless_keep':
			case 'when_keep':
				if (!stack[stack.length - 1] ===
				    (step.op === 'unless_keep'))
					frame.at = step.arg;
				break;
			case 'call':
				frames.push(frame);
				frame = {
					code: this.compiled[step.arg].code,
					at: 0,
					locals: stack.splice(stack.length - step.count)
				};
				break;
			case 'return':
				frame = frames.pop();
				break;
			default:
				this.simple(step, frame.locals);
			}
		}
		return stack.pop();
	};

	// Programs in the small language; all but "sort" have well-known results

	var PROGRAM = [
		'fn primes(limit) {',
		'	let composite = []; let i = 2; let count = 0;',
		'	while (i < limit) {',
		'		if (!composite[i]) {',
		'			count = count + 1;',
		'			let k = i * i;',
		'			while (k < limit) { composite[k] = 1; k = k + i; }',
		'		}',
		'		i = i + (2 * 3 - 5);',
		'	}',
		'	return count;',
		'}',
		'fn fibonacci(n) {',
		'	if (n < 2) { return n; }',
		'	return fibonacci(n - 1) + fibonacci(n - 2);',
		'}',
		'fn collatz(n) {',
		'	let steps = 0;',
		'	while (n != 1) {',
		'		if (n % 2 == 0) { n = n / 2; } else { n = 3 * n + 1; }',
		'		steps = steps + 1;',
		'	}',
		'	return steps;',
		'}',
		'fn gcd(a, b) { if (b == 0) { return a; } return gcd(b, a % b); }',
		'fn ackermann(m, n) {',
		'	if (m == 0) { return n + 1; }',
		'	if (n == 0) { return ackermann(m - 1, 1); }',
		'	return ackermann(m - 1, ackermann(m, n - 1));',
		'}',
		'fn sort(list, length) {',
		'	let i = 1;',
		'	while (i < length) {',
		'		let k = i; let item = list[i];',
		'		while (k > 0 && list[k - 1] > item) {',
		'			list[k] = list[k - 1]; k = k - 1;',
		'		}',
		'		list[k] = item; i = i + 1;',
		'	}',
		'	return list;',
		'}',
		'fn fraction(rounds) {',
		'	let pair = [0, 1]; let sign = 1; let k = 0;',
		'	while (k < rounds || 0) {',
		'		pair[0] = pair[0] + sign * (4000000 / (2 * k + 1));',
		'		sign = -sign; k = k + pair[1];',
		'	}',
		'	return pair[0];',
		'}'
	].join('\n');

	function programs(random) {
		var list = [];

		while (list.length < 30)
			list.push(random.below(1000));
		return [
			[ 'primes', [ 200 ], 46 ],
			[ 'fibonacci', [ 10 ], 55 ],
			[ 'collatz', [ 9 ], 19 ],
			[ 'gcd', [ 3528, 3780 ], 252 ],
			[ 'ackermann', [ 2, 2 ], 7 ],
			[ 'sort', [ list, list.length ],
			  list.slice().sort(function (a, b) { return a - b; }) ],
			[ 'fraction', [ 30 ] ]
		];
	}

	function language(random) {
		var tree = parse(PROGRAM);
		var optimised = parse(PROGRAM);
		var plain = new Machine(compile(tree));
		var machine;

		Object.keys(optimised).forEach(function (name) {
			optimised[name].body = fold(optimised[name].body);
		});
		machine = new Machine(compile(optimised));

		programs(random).forEach(function (program) {
			var results = [ plain, machine ].map(function (m) {
				return m.run(program[0], program[1].slice());
			});
			var text;

			results.push(interpret(tree, program[0], program[1].slice()));
			results.push(program[2] === undefined ?
				     results[0] : program[2]);
			text = JSON.stringify(results[0]);
			results.forEach(function (result) {
				check(JSON.stringify(result) === text, program[0]);
			});
			note(program[0] + '=' + text);
		});
		check(machine.steps < plain.steps, 'the optimiser');
		return machine.steps;
	}

	// Queens on a board, none of which attacks another

	function queens(size) {
		var solutions = 0;

		function place(columns) {
			var row = columns.length;
			var column;

			function attacked(other, at) {
				return other === column ||
				       Math.abs(other - column) === row - at;
			}

			if (row === size) {
				note(columns.join(''));
				solutions++;
				return;
			}
			for (column = 0; column < size; column++) {
				if (!columns.some(attacked))
					place(columns.concat(column));
			}
		}

		place([]);
		check(solutions === [ 1, 1, 0, 0, 2, 10, 4, 40, 92 ][size], 'queens');
		return solutions;
	}

	// Statistics of a text that is made up

	function makeWord(random) {
		var word = '';
		var syllables = 1 + random.below(3);

		while (syllables--)
			word += 'bdfgklmnprst'.charAt(random.below(12)) +
				'aeiou'.charAt(random.below(5));
		return word;
	}

	function makeText(random, length) {
		var words = [];

		while (words.length < length)
			words.push(makeWord(random) +
				   (random.below(9) ? '' : '.'));
		return words.join(' ');
	}

	function reverse(text) {
		return text.split('').reverse().join('');
	}

	function text(random, length) {
		var whole = makeText(random, length);
		var counts = {};
		var letters = 0;
		var total = 0;
		var ranking;

		check(reverse(reverse(whole)) === whole, 'reverse');
		whole.replace(/[a-z]+/g, function (word) {
			counts[word] = (counts[word] || 0) + 1;
			letters += word.length;
			return '';
		});
		ranking = Object.keys(counts).sort(function (a, b) {
			return counts[b] - counts[a] || (a < b ? -1 : 1);
		});
		ranking.forEach(function (word, i) {
			check(!i || counts[ranking[i - 1]] >= counts[word], 'order');
			total += counts[word];
		});
		check(total === length, 'count of words');
		check(letters === whole.replace(/[^a-z]/g, '').length, 'letters');
		note(ranking.slice(0, 50).map(function (word) {
			return word + counts[word];
		}).join());
		return ranking.length;
	}

	// Objects to text and back

	function makeValue(random, depth) {
		var kind = random.below(depth > 0 ? 7 : 5);
		var count = 2 + random.below(4);
		var value;

		switch (kind) {
		case 0: return null;
		case 1: return random.below(2) === 1;
		case 2: return random.below(100000) / 8;
		case 3: return makeText(random, 1 + random.below(5));
		case 4: return 'quote " slash \\ line \n umlaut \u00fc';
		}
		value = kind === 5 ? [] : {};
		while (count--)
			value[kind === 5 ? value.length : makeWord(random)] =
				makeValue(random, depth - 1);
		return value;
	}

	function same(a, b) {
		var keys;

		if (a === null || typeof a !== 'object')
			return a === b;
		keys = Object.keys(a);
		return b !== null && typeof b === 'object' &&
		       Array.isArray(a) === Array.isArray(b) &&
		       keys.length === Object.keys(b).length &&
		       keys.every(function (key) {
			return same(a[key], b[key]);
		});
	}

	function json(random, rounds) {
		var bytes = 0;
		var value, line;

		while (rounds--) {
			value = { items: [ makeValue(random, 5),
					   makeValue(random, 6) ] };
			line = JSON.stringify(value, null, rounds % 3);
			check(same(value, JSON.parse(line)), 'round trip');
			check(JSON.stringify(JSON.parse(line), null, rounds % 3) ===
			      line, 'second round trip');
			note(line);
			bytes += line.length;
		}
		return bytes;
	}

	// All of it

	function result() {
		var random = new Random(seed * 7919);
		var line = [];

		phase('language');
		line.push('steps=' + language(random));
		phase('queens');
		line.push('queens=' + queens(7));
		phase('text');
		line.push('words=' + text(random, 1000));
		phase('json');
		line.push('json=' + json(random, 50));
		phase('end');
		line.push('checksum=' + ('0000000' + checksum.toString(16)).slice(-8));
		return line.join(' ');
	}

	return result();
})(typeof globalThis === 'object' ? globalThis : this);
