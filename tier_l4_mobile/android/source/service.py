"""What Android starts in a process of its own: the node that goes on while another app is looked at."""

from supervm.tier_l4_mobile.app.android.service import main

main()
