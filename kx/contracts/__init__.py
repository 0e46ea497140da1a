"""Types that the packages of kx exchange. Imports none of these packages."""
