"""What Android starts: the app."""

from supervm.tier_l4_mobile.app.android.start import main

main()
