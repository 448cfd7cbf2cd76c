/* The state tree in C: the same trees, hashes and answers as `supervm.protocol.state.plain_tree`, in flat arrays.
 *
 * What a tree is and why, `plain_tree.py` and `trie_proof.py` say. Here a tree is a root and a number of leaves; what
 * is shared between trees is counted (`quad_nodes.h`). An update sorts its changes by key and goes down once with all
 * of them. Branches are hashed on the way back, while their children are at hand, or, in a tree that is built in many
 * steps, once when somebody asks for the root.
 * The interpreter's lock is held throughout.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "quad_nodes.h"

#define ID_BYTES_MIN 33
#define ID_BYTES_MAX 65
#define VALUE_BYTES_MAX 2048
#define DEPTH_MAX 128

typedef struct {
    PyObject_HEAD
    Node root;
    Py_ssize_t count;
} Tree;

typedef struct {
    uint8_t key[HASH_BYTES];
    const uint8_t *id, *value;
    uint16_t value_bytes;
    uint8_t id_bytes;
} Change;

typedef struct {
    Change *changes;
    Py_ssize_t growth;
    size_t looked_at; /* nodes; kept so that no compiler takes the look for nothing */
    int hashed; /* hash new branches at once, as all others are */
    int failed; /* there was no memory: what comes out is no tree that anybody may see */
} Update;

/* --- updating ---------------------------------------------------------------------------------------------------- */

/* Return a node over children whose names it takes over; nothing or a single leaf stand for themselves. */
static Node join(Update *update, const Node children[4]) {
    int there = 0;
    Node last = NOTHING;
    for (int digit = 0; digit < 4; digit++)
        if (children[digit]) {
            there++;
            last = children[digit];
        }
    if (there == 0 || (there == 1 && IS_LEAF(last))) return last;
    Node node = make_branch(children);
    if (node != NONE) {
        if (update->hashed) hash_branch(branch_of(node));
        return node;
    }
    update->failed = 1;
    for (int digit = 0; digit < 4; digit++) release(children[digit]);
    return NOTHING;
}

static size_t end_of_digit(const Update *update, int depth, int digit, size_t start, size_t end) {
    while (start < end && digit_of(update->changes[start].key, depth) == digit) start++;
    return start;
}

/* Return the subtree of new leaves and, unless it is nothing, of an old leaf with another key. */
static Node spread(Update *update, int depth, size_t start, size_t end, Node old, const uint8_t *old_key) {
    if (start == end) return hold(old);
    if (end - start == 1 && !old) {
        const Change *change = &update->changes[start];
        Node leaf = make_leaf(change->key, change->id, change->id_bytes, change->value, change->value_bytes);
        if (!leaf) update->failed = 1;
        return leaf;
    }
    Node children[4];
    for (int digit = 0; digit < 4; digit++) {
        size_t stop = end_of_digit(update, depth, digit, start, end);
        Node here = old && digit_of(old_key, depth) == digit ? old : NOTHING;
        children[digit] = spread(update, depth + 1, start, stop, here, old_key);
        start = stop;
    }
    return join(update, children);
}

/* Return what a place becomes where nothing or one leaf was. */
static Node settle(Update *update, int depth, size_t start, size_t end, Node old) {
    uint8_t old_key[HASH_BYTES];
    size_t kept = start;
    const Leaf *leaf = old ? leaf_of(old) : NULL;
    if (leaf) key_of(leaf, old_key);
    for (size_t at = start; at < end; at++) {
        const Change *change = &update->changes[at];
        if (leaf && memcmp(change->key, old_key, HASH_BYTES) == 0) {
            if (change->value_bytes == leaf->value_bytes &&
                memcmp(change->value, value_of(leaf), change->value_bytes) == 0)
                continue;
            old = NOTHING;
            update->growth--;
        }
        if (change->value_bytes) {
            update->growth++;
            update->changes[kept++] = *change;
        }
    }
    return spread(update, depth, start, kept, old, old_key);
}

/* Return a subtree after the changes that belong into it. */
static Node merge(Update *update, int depth, size_t start, size_t end, Node node) {
    if (start == end) return hold(node);
    if (!node || IS_LEAF(node)) return settle(update, depth, start, end, node);
    Node children[4];
    const Branch *branch = branch_of(node);
    int same = 1;
    for (int digit = 0; digit < 4; digit++) {
        size_t stop = end_of_digit(update, depth, digit, start, end);
        children[digit] = merge(update, depth + 1, start, stop, branch->children[digit]);
        same &= children[digit] == branch->children[digit];
        start = stop;
    }
    if (!same) return join(update, children);
    for (int digit = 0; digit < 4; digit++) release(children[digit]);
    return hold(node);
}

/* Have the memory of the paths that an update goes down on its way, sixteen at once: a walk alone waits for each node.
 */
static void look_ahead(Update *update, size_t count, Node root) {
    enum { AT_ONCE = 16 };
    for (size_t first = 0; first < count; first += AT_ONCE) {
        Node nodes[AT_ONCE];
        size_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        for (size_t at = 0; at < some; at++) nodes[at] = root;
        for (int depth = 0, open = 1; open && depth < DEPTH_MAX; depth++) {
            open = 0;
            for (size_t at = 0; at < some; at++) {
                if (!nodes[at] || IS_LEAF(nodes[at])) continue;
                const Branch *branch = branch_of(nodes[at]);
                for (int digit = 0; digit < 4; digit++) fetch(branch->children[digit]);
                nodes[at] = branch->children[digit_of(update->changes[first + at].key, depth)];
                open = 1;
                update->looked_at++;
            }
        }
    }
}

static int by_key(const void *one, const void *other) {
    return memcmp(((const Change *)one)->key, ((const Change *)other)->key, HASH_BYTES);
}

/* --- Python ------------------------------------------------------------------------------------------------------ */

static PyObject *new_tree(PyTypeObject *type, Node root, Py_ssize_t count) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Tree *tree = (Tree *)allocate(type, 0);
    if (!tree) {
        release(root);
        return NULL;
    }
    tree->root = root;
    tree->count = count;
    return (PyObject *)tree;
}

static PyObject *tree_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "", names)) return NULL;
    return new_tree(type, NOTHING, 0);
}

static void tree_dealloc(Tree *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    release(self->root);
    freefunc release_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release_object(self);
    Py_DECREF(type);
}

static Py_ssize_t tree_length(Tree *self) { return self->count; }

static PyObject *tree_root(Tree *self, void *unused) {
    uint8_t hash[HASH_BYTES];
    (void)unused;
    hash_below(self->root);
    copy_hash(self->root, hash);
    return PyBytes_FromStringAndSize((const char *)hash, HASH_BYTES);
}

static int read_change(Change *change, PyObject *id, PyObject *value) {
    char *id_at, *value_at;
    Py_ssize_t id_bytes, value_bytes;
    if (PyBytes_AsStringAndSize(id, &id_at, &id_bytes) || PyBytes_AsStringAndSize(value, &value_at, &value_bytes))
        return -1;
    if (id_bytes < ID_BYTES_MIN || id_bytes > ID_BYTES_MAX || value_bytes > VALUE_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "a leaf id or a value is of a length that is not allowed");
        return -1;
    }
    change->id = (const uint8_t *)id_at;
    change->id_bytes = (uint8_t)id_bytes;
    change->value = (const uint8_t *)value_at;
    change->value_bytes = (uint16_t)value_bytes;
    return 0;
}

static PyObject *tree_apply(Tree *self, PyObject *arguments) {
    PyObject *changes;
    Update update = {0};
    if (!PyArg_ParseTuple(arguments, "Op", &changes, &update.hashed)) return NULL;
    if (!PyDict_Check(changes)) {
        PyErr_SetString(PyExc_TypeError, "changes are a dict of leaf id to value");
        return NULL;
    }
    size_t count = (size_t)PyDict_Size(changes), at = 0;
    update.changes = malloc((count ? count : 1) * sizeof(Change));
    if (!update.changes) return PyErr_NoMemory();
    PyObject *id, *value;
    Py_ssize_t position = 0;
    while (at < count && PyDict_Next(changes, &position, &id, &value))
        if (read_change(&update.changes[at++], id, value)) {
            free(update.changes);
            return NULL;
        }
    for (size_t place = 0; place < at; place++) {
        Change *change = &update.changes[place];
        hash_in(&key_domain, change->id, change->id_bytes, change->key);
    }
    if (update.hashed) hash_below(self->root);
    qsort(update.changes, at, sizeof(Change), by_key);
    look_ahead(&update, at, self->root);
    Node root = merge(&update, 0, 0, at, self->root);
    free(update.changes);
    if (update.failed) {
        release(root);
        return PyErr_NoMemory();
    }
    return new_tree(Py_TYPE((PyObject *)self), root, self->count + update.growth);
}

static int read_bytes(PyObject *object, const uint8_t **at, Py_ssize_t least, Py_ssize_t most) {
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(object, &bytes, &size)) return -1;
    if (size < least || size > most) {
        PyErr_SetString(PyExc_ValueError, "a key or a leaf id is of a length that is not allowed");
        return -1;
    }
    *at = (const uint8_t *)bytes;
    return (int)size;
}

static PyObject *tree_get(Tree *self, PyObject *leaf_id) {
    const uint8_t *id;
    int id_bytes = read_bytes(leaf_id, &id, 0, PY_SSIZE_T_MAX);
    if (id_bytes < 0) return NULL;
    uint8_t key[HASH_BYTES];
    Node node = self->root;
    hash_in(&key_domain, id, (size_t)id_bytes, key);
    for (int depth = 0; node && !IS_LEAF(node); depth++) node = branch_of(node)->children[digit_of(key, depth)];
    if (node) {
        const Leaf *leaf = leaf_of(node);
        if (leaf->id_bytes == id_bytes && memcmp(leaf->data, id, (size_t)id_bytes) == 0)
            return PyBytes_FromStringAndSize((const char *)value_of(leaf), leaf->value_bytes);
    }
    Py_RETURN_NONE;
}

static PyObject *leaf_tuple(Node node) {
    const Leaf *leaf = leaf_of(node);
    return Py_BuildValue("(y#y#)", (const char *)leaf->data, (Py_ssize_t)leaf->id_bytes, (const char *)value_of(leaf),
                         (Py_ssize_t)leaf->value_bytes);
}

static PyObject *tree_beside(Tree *self, PyObject *arguments) {
    PyObject *key_object;
    int side;
    const uint8_t *key;
    if (!PyArg_ParseTuple(arguments, "Oi", &key_object, &side)) return NULL;
    if (read_bytes(key_object, &key, HASH_BYTES, HASH_BYTES) < 0) return NULL;
    uint8_t masks[DEPTH_MAX], siblings[DEPTH_MAX * 3 * HASH_BYTES];
    Py_ssize_t depth = 0, size = 0;
    Node node = self->root;
    hash_below(node);
    for (; node && !IS_LEAF(node); depth++) {
        const Branch *branch = branch_of(node);
        int own = digit_of(key, (int)depth);
        masks[depth] = 0;
        for (int digit = side > 0 ? own + 1 : 0; digit < (side < 0 ? own : 4); digit++)
            if (digit != own && branch->children[digit]) {
                masks[depth] |= (uint8_t)(1 << digit);
                copy_hash(branch->children[digit], siblings + size);
                size += HASH_BYTES;
            }
        node = branch->children[own];
    }
    PyObject *end = node ? leaf_tuple(node) : Py_NewRef(Py_None);
    if (!end) return NULL;
    return Py_BuildValue("(y#y#N)", (const char *)masks, depth, (const char *)siblings, size, end);
}

/* Add the leaves below a node from `first` on, or all if that is NULL, until there are `count`. */
static int add_leaves(PyObject *list, Node node, int depth, const uint8_t *first, Py_ssize_t count) {
    if (!node || PyList_Size(list) >= count) return 0;
    if (IS_LEAF(node)) {
        uint8_t key[HASH_BYTES];
        if (first) {
            key_of(leaf_of(node), key);
            if (memcmp(key, first, HASH_BYTES) < 0) return 0;
        }
        PyObject *leaf = leaf_tuple(node);
        if (!leaf) return -1;
        int result = PyList_Append(list, leaf);
        Py_DECREF(leaf);
        return result;
    }
    const Branch *branch = branch_of(node);
    int start = first ? digit_of(first, depth) : 0;
    for (int digit = start; digit < 4; digit++)
        if (add_leaves(list, branch->children[digit], depth + 1, digit == start ? first : NULL, count)) return -1;
    return 0;
}

static PyObject *tree_leaves_from(Tree *self, PyObject *arguments) {
    PyObject *key_object;
    Py_ssize_t count;
    const uint8_t *key;
    if (!PyArg_ParseTuple(arguments, "On", &key_object, &count)) return NULL;
    if (read_bytes(key_object, &key, HASH_BYTES, HASH_BYTES) < 0) return NULL;
    PyObject *list = PyList_New(0);
    if (list && add_leaves(list, self->root, 0, key, count)) Py_CLEAR(list);
    return list;
}

typedef struct {
    int kind;
    const uint8_t *head;
    Py_ssize_t head_bytes;
    uint64_t high, low;
} Sum;

/* Add up the integers of CBOR that follow the head in the values of the kind; -1 where there is none. */
static int add_up(Sum *sum, Node node) {
    if (!node) return 0;
    if (!IS_LEAF(node)) {
        for (int digit = 0; digit < 4; digit++)
            if (add_up(sum, branch_of(node)->children[digit])) return -1;
        return 0;
    }
    const Leaf *leaf = leaf_of(node);
    if (leaf->data[0] != sum->kind) return 0;
    const uint8_t *at = value_of(leaf) + sum->head_bytes;
    Py_ssize_t room = leaf->value_bytes - sum->head_bytes - 1;
    if (room < 0 || memcmp(value_of(leaf), sum->head, (size_t)sum->head_bytes) != 0 || *at > 27) return -1;
    uint64_t number = *at;
    if (number >= 24) {
        int more = 1 << (number - 24);
        if (room < more) return -1;
        for (number = 0; more; more--) number = number << 8 | *++at;
    }
    sum->low += number;
    sum->high += sum->low < number;
    return 0;
}

static PyObject *tree_sum_after(Tree *self, PyObject *arguments) {
    Sum sum = {0, NULL, 0, 0, 0};
    if (!PyArg_ParseTuple(arguments, "iy#", &sum.kind, &sum.head, &sum.head_bytes)) return NULL;
    if (add_up(&sum, self->root)) {
        PyErr_SetString(PyExc_ValueError, "a leaf of this kind has a value of another form");
        return NULL;
    }
    PyObject *high = PyLong_FromUnsignedLongLong(sum.high), *low = PyLong_FromUnsignedLongLong(sum.low);
    PyObject *bits = PyLong_FromLong(64), *raised = high && bits ? PyNumber_Lshift(high, bits) : NULL;
    PyObject *total = raised && low ? PyNumber_Add(raised, low) : NULL;
    Py_XDECREF(high);
    Py_XDECREF(low);
    Py_XDECREF(bits);
    Py_XDECREF(raised);
    return total;
}

static PyObject *module_held_bytes(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromSize_t(bytes_held());
}

static PyMethodDef tree_methods[] = {
    {"apply", (PyCFunction)tree_apply, METH_VARARGS, NULL},
    {"get", (PyCFunction)tree_get, METH_O, NULL},
    {"beside", (PyCFunction)tree_beside, METH_VARARGS, NULL},
    {"leaves_from", (PyCFunction)tree_leaves_from, METH_VARARGS, NULL},
    {"sum_after", (PyCFunction)tree_sum_after, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tree_values[] = {{"root", (getter)tree_root, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot tree_slots[] = {
    {Py_tp_new, tree_new},         {Py_tp_dealloc, tree_dealloc}, {Py_tp_methods, tree_methods},
    {Py_tp_getset, tree_values},   {Py_mp_length, tree_length},   {0, NULL},
};

static PyType_Spec tree_spec = {"supervm.protocol.state._quad.Tree", sizeof(Tree), 0, Py_TPFLAGS_DEFAULT, tree_slots};

static PyMethodDef module_methods[] = {
    {"held_bytes", module_held_bytes, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_quad", NULL, -1, module_methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__quad(void) {
    PyObject *module = PyModule_Create(&module_definition);
    if (!module) return NULL;
    set_up_nodes();
    PyObject *type = PyType_FromSpec(&tree_spec);
    if (!type || PyModule_AddObjectRef(module, "Tree", type)) Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
