"""``supervm l3`` of an edge whose node has one line more, for the test of what one line is enough for."""

from guestbook import Guestbook

from supervm.tier_l3_edge.node import EdgeNode

EdgeNode.MORE = (Guestbook,)  # the line

from supervm.tier_l3_edge.cli import l3  # noqa: E402 - a program reads its node first

l3()
