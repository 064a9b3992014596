"""Where networks look: the distance of attention, and Grad-CAM and attention rollout over images."""
