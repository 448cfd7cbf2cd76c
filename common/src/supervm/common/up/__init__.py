"""`supervm up`: a whole four-tier network on this machine, one operating-system process per node.

`rows` reads the payments, `layout` makes or finds the folder of a network (genesis, keys, configuration) and `wallets`
the phones' wallets in it, `processes` starts and stops the nodes, `payments` sends the rows and follows them, `view`
shows it, and `session` puts these together. Nothing here is protocol: nodes are driven through their control sockets,
as a person would.
"""
