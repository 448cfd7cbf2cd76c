"""What the app needs of Android and no other platform has: permissions, a service, and what has no metadata there."""
