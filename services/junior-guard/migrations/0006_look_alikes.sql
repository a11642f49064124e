-- Found by the skeleton alone: an index that begins with the child was taken for addresses too, and then all of a child's rows were read.
CREATE INDEX standing_skeleton ON standing (partition, skeleton_hash);
DROP INDEX standing_look_alikes;
