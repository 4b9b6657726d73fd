"""The parametric body: parameters, skinning, named keypoints, priors."""
