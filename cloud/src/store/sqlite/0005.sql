-- For whom a delivery is. The vendor's endpoints are those of the organization that is all zeros.
ALTER TABLE deliveries ADD COLUMN audience TEXT NOT NULL DEFAULT 'organization' CHECK (audience IN ('organization', 'vendor', 'buyer'));
