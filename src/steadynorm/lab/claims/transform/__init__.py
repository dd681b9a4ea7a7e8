"""The transform itself: Eq 2 to 4, its identities and bounds, feature maps, its relatives."""
